//! What holds for every reader, whatever it reads.

use proptest::prelude::*;

use super::filter::Whole;
use super::form::Form;
use super::json::Json;
use super::media::Coding;
use super::shape::Shape;
use super::*;

/// By the default policy.
pub fn redactor() -> Redactor {
    Redaction::with_key(Some(Policy::default()), [7; 32]).redactor().unwrap()
}

/// The same text with `{value}` for each token.
pub fn tokens_of(redactor: &mut Redactor, text: &[u8]) -> Vec<u8> {
    let news = String::from_utf8(redactor.tokens.news()).unwrap();
    redactor.tokens.told();
    let mut text = text.to_vec();
    for line in news.lines().filter(|line| !line.contains("\"version\"")) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let token = line["token"].as_str().unwrap().as_bytes();
        let value = match line["value"].as_str() {
            Some(value) => value.as_bytes().to_vec(),
            None => base64_simd::STANDARD.decode_to_vec(line["valueB64"].as_str().unwrap()).unwrap(),
        };
        while let Some(at) = memchr::memmem::find(&text, token) {
            text.splice(at..at + token.len(), [b"{", &value[..], b"}"].concat());
        }
    }
    text
}

fn read(shape: &mut Shape, redactor: &mut Redactor, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    pieces.iter().for_each(|piece| shape.feed(redactor, piece, &mut out));
    shape.finish(redactor, &mut out);
    out
}

/// Reads `text` in whole, byte by byte and in two pieces, each time with the result `expected`.
pub fn check(shape: impl Fn() -> Shape, text: &[u8], expected: &[u8]) {
    let mut redactor = redactor();
    let whole = read(&mut shape(), &mut redactor, &[text]);
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(
        read(&mut shape(), &mut redactor, &bytes).escape_ascii().to_string(),
        whole.escape_ascii().to_string()
    );
    for cut in 0..text.len() {
        let (head, tail) = text.split_at(cut);
        assert!(read(&mut shape(), &mut redactor, &[head, tail]) == whole, "cut at {cut}");
    }
    let got = tokens_of(&mut redactor, &whole);
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expected));
}

fn shapes() -> [fn() -> Shape; 5] {
    [
        || Shape::Json(Json::default()),
        || Shape::Form(Form::default()),
        || Shape::Events(super::events::Events::default()),
        || Shape::Lines(Box::default()),
        || Shape::Multipart(Box::new(super::multipart::Multipart::new(b"B"))),
    ]
}

/// Pieces of what is read, in any order: near to right and often wrong.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "\"password\"",
        "\"a\"",
        ":",
        ": ",
        ",",
        "{",
        "}",
        "[",
        "]",
        "\"x\\\"y\"",
        "\"",
        "\\",
        "\\u00",
        "12",
        "null",
        "\n",
        "\r\n",
        "data: ",
        "token=",
        "a=",
        "&",
        ";",
        "%4",
        "%41",
        "+",
        "--B",
        "--B--",
        "-",
        "Cookie: ",
        "Set-Cookie: a=b;",
        "GET ",
        "?token=",
        "http://u:p@h/",
        " ",
        "Content-Disposition: form-data; name=\"pwd\"",
        "\u{e9}",
        "s3cret",
        "'",
    ]);
    prop::collection::vec(words, 0..30).prop_map(|words| words.concat().into_bytes())
}

fn json_value(leaf: fn() -> BoxedStrategy<serde_json::Value>) -> impl Strategy<Value = serde_json::Value> {
    let name =
        prop::sample::select(vec!["a", "b", "user", "password", "access_token", "\u{e9}\"", "Pass-Word"]);
    leaf().prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::vec((name.clone(), inner), 0..5).prop_map(|members| {
                serde_json::Value::Object(
                    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                )
            }),
        ]
    })
}

fn leaf() -> BoxedStrategy<serde_json::Value> {
    prop_oneof![
        any::<String>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(|number| serde_json::Value::from(f64::from(number) / 8.0)),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ]
    .boxed()
}

/// What is expected of JSON, by a simple program.
fn expected(redactor: &mut Redactor, value: &serde_json::Value, secret: bool) -> serde_json::Value {
    use serde_json::Value;
    let mut token = |text: &str, end: &str| {
        Value::from(format!(
            "{}{end}",
            String::from_utf8(redactor.tokens.token(text.as_bytes()).to_vec()).unwrap()
        ))
    };
    match value {
        Value::Object(members) => {
            let of = |(name, value): (&String, &Value)| {
                let secret = secret || redactor.is_secret_field(name.as_bytes());
                (name.clone(), expected(redactor, value, secret))
            };
            Value::Object(members.iter().map(of).collect())
        }
        Value::Array(items) => items.iter().map(|item| expected(redactor, item, secret)).collect(),
        Value::String(text) if secret && !text.is_empty() => token(text, ""),
        Value::Number(number) if secret => token(&number.to_string(), "-number"),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn where_it_is_cut_makes_no_difference(text in broken(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut redactor = redactor();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let pieces: Vec<&[u8]> = starts.zip(cuts.iter().copied().chain([text.len()])).map(|(start, end)| &text[start..end]).collect();
        for shape in shapes() {
            let whole = read(&mut shape(), &mut redactor, &[&text]);
            prop_assert_eq!(read(&mut shape(), &mut redactor, &pieces).escape_ascii().to_string(), whole.escape_ascii().to_string());
        }
    }

    /// Any bytes in which no secret name stands.
    #[test]
    fn what_is_not_secret_stays(text in "[a-m:;=&?#@{}\\[\\]\",\\\\ \r\n-]{0,200}", bytes in any::<Vec<u8>>()) {
        let mut redactor = redactor();
        for shape in shapes() {
            for text in [text.as_bytes(), &bytes] {
                prop_assert_eq!(&read(&mut shape(), &mut redactor, &[text]), text);
            }
        }
        for media in [Media::default(), Media::opaque()] {
            prop_assert_eq!(redactor.whole(&media, &Values::default(), text.as_bytes()), Whole::Same);
        }
        // Userinfo is secret by its place.
        if !text.contains("@") {
            prop_assert_eq!(redactor.url(text.as_bytes()), None);
        }
    }

    #[test]
    fn json_is_the_same_but_for_what_is_secret(value in json_value(leaf), pretty: bool) {
        let mut redactor = redactor();
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let got = read(&mut Shape::Json(Json::default()), &mut redactor, &[text.as_bytes()]);
        let got: serde_json::Value = serde_json::from_slice(&got).unwrap();
        prop_assert_eq!(got, expected(&mut redactor, &value, false));
    }

    /// In each encoding in which a secret may be sent.
    #[test]
    fn a_secret_is_nowhere(secret in "[!-~\u{e9}]{8,40}", around in "[a-z]{0,8}", piece in 1..50_usize) {
        let mut redactor = redactor();
        let quoted = serde_json::to_string(&secret).unwrap();
        let escaped: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let texts = [
            format!("{{\"{around}\":1,\"password\":{quoted},\"x\":[{{\"token\":[{quoted}]}}]}}"),
            format!("{{\"pass\\u0077ord\" : \"{escaped}\"}}"),
            format!("a={around}&password={percent}&b=1"),
            format!("data: {{\"secret\": {quoted}}}\n\n"),
            format!("--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n{secret}\r\n--B--\r\n"),
            format!("GET /{around}?token={percent} HTTP/1.1\r\nAuthorization: Bearer {secret}\r\nCookie: a={secret}\r\n\r\n"),
        ];
        let forms = [secret.clone(), quoted[1..quoted.len() - 1].to_owned(), escaped.clone(), percent.clone()];
        for text in &texts {
            let media = Media::default();
            let Whole::Replaced(whole) = redactor.whole(&media, &Values::default(), text.as_bytes()) else { panic!("{text}") };
            let mut out = Vec::new();
            let (first, rest) = text.as_bytes().split_at(text.len().min(40));
            let mut filter = Filter::begin(&mut redactor, &media, &Values::default(), first, &mut out).unwrap();
            rest.chunks(piece).for_each(|piece| filter.feed(&mut redactor, piece, &mut out));
            filter.finish(&mut redactor, &mut out);
            prop_assert_eq!(&out, &whole);
            for form in &forms {
                prop_assert!(memchr::memmem::find(&whole, form.as_bytes()).is_none(), "{} in {}", form, String::from_utf8_lossy(&whole));
            }
        }
    }

    #[test]
    fn any_bytes_end_without_panic(bytes in any::<Vec<u8>>(), coding in prop::sample::select(vec![Coding::Gzip, Coding::Deflate, Coding::Brotli])) {
        let mut redactor = redactor();
        for start in [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], b"\x78\x9c", b""] {
            redactor.whole(&Media { coding, ..Media::default() }, &Values::default(), &[start, &bytes].concat());
        }
    }
}

#[test]
fn compressed_bodies() {
    use flate2::Compression;
    use std::io::Write as _;
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let gunzip = |bytes: &[u8]| {
        let mut out = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut out).map(|_| out)
    };
    let media = Media { coding: Coding::Gzip, ..Media::default() };
    let mut redactor = redactor();
    let filler = "{\"a\":\"b\"}\n".repeat(50_000);
    let text = format!("{filler}{{\"token\":\"x\"}}");
    let whole = gzip(text.as_bytes());
    let Whole::Replaced(out) = redactor.whole(&media, &Values::default(), &whole) else { panic!() };
    let out = tokens_of(&mut redactor, &gunzip(&out).unwrap());
    assert!(out == format!("{filler}{{\"token\":\"{{x}}\"}}").as_bytes());
    assert_eq!(redactor.whole(&media, &Values::default(), &gzip(filler.as_bytes())), Whole::Same);
    // The connection ended before the body did.
    let cut = &whole[..whole.len() / 2];
    assert_eq!(redactor.whole(&media, &Values::default(), cut), Whole::Same);
    // Two members (RFC 1952 section 2.2), and what is none behind the first.
    let two = [whole.clone(), gzip(b"{\"token\":\"y\"}")].concat();
    let Whole::Replaced(out) = redactor.whole(&media, &Values::default(), &two) else { panic!() };
    assert!(tokens_of(&mut redactor, &gunzip(&out).unwrap()).ends_with(b"{\"token\":\"{y}\"}"));
    let Whole::Cut(out) =
        redactor.whole(&media, &Values::default(), &[&gzip(b"ab")[..], b"{\"token\":\"z\"}"].concat())
    else {
        panic!()
    };
    assert_eq!(gunzip(&out).unwrap(), b"ab");
    // Not compressed at all.
    let Whole::Replaced(out) = redactor.whole(&media, &Values::default(), b"{\"token\":\"z\"}") else {
        panic!()
    };
    assert_eq!(tokens_of(&mut redactor, &out), b"{\"token\":\"{z}\"}");
    let brotli = Media { coding: Coding::Brotli, ..Media::default() };
    let Whole::Replaced(_) = redactor.whole(&brotli, &Values::default(), b"{\"token\":\"z\"}") else {
        panic!()
    };
    assert_eq!(
        redactor.whole(&Media { coding: Coding::Unread, ..Media::default() }, &Values::default(), b"{}"),
        Whole::Unreadable
    );
    // A bomb: a GiB, were it decoded to its end.
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let bombs = bomb.repeat(16);
    let Whole::Cut(out) = redactor.whole(&media, &Values::default(), &bombs) else { panic!() };
    assert!(out.len() < bombs.len() * 4, "{}", out.len());
}

/// Many short values, each with a longer token.
#[test]
fn tokens_do_not_grow_without_bound() {
    let mut redactor = redactor();
    let text = format!("{{\"token\":[{}]}}", "1,".repeat(500_000));
    let Whole::Cut(out) = redactor.whole(&Media::default(), &Values::default(), text.as_bytes()) else {
        panic!()
    };
    assert!(out.len() < 16 << 20, "{}", out.len());
}
