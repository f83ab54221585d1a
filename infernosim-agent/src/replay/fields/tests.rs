use proptest::prelude::*;

use super::*;

fn headers(of: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    of.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn of_body(content_type: &str, body: &str) -> Vec<String> {
    let fields =
        of_request("/", &headers(&[("Content-Type", content_type)]), Content::Bytes(body.as_bytes()));
    let leaf = |leaf: &Leaf| match leaf {
        Leaf::Text(text) => format!("{text:?}"),
        Leaf::Number(text) | Leaf::Empty(text) => text.to_string(),
        Leaf::Bool(value) => value.to_string(),
        Leaf::Null => "null".to_owned(),
        Leaf::Digest(size, _) => format!("{size} bytes"),
    };
    fields.iter().map(|(name, it)| format!("{name}={}", leaf(it))).collect()
}

#[test]
fn bodies_are_known_by_their_type_or_their_looks() {
    let json = "application/json; charset=utf-8";
    for (kind, body, expected) in [
        (
            json,
            " {\"b\":[1.50,{\"c\":null}],\"a\":\"x\\u00e9\"} ",
            &["body.a=\"xé\"", "body.b[0]=1.50", "body.b[1].c=null"][..],
        ),
        ("text/plain", "[true,{},[]]", &["body[0]=true", "body[1]={}", "body[2]=[]"]),
        (json, "7", &["body=7"]),
        (json, "{\"a.b\":1,\"2\":2,\"c-d\":3}", &["body.\"2\"=2", "body.\"a.b\"=1", "body.c-d=3"]),
        (json, "{\"a\":1,\"a\":2}", &["body.a=1", "body.a'=2"]),
        (json, "{\"a\":", &["body=\"{\\\"a\\\":\""]),
        ("text/html", "a=b", &["body=\"a=b\""]),
        (
            "application/x-www-form-urlencoded",
            "a=b%20c&d&a=+",
            &["body.a=\"b c\"", "body.a[1]=\" \"", "body.d=\"\""],
        ),
        ("application/x-www-form-urlencoded", "{\"a\":1}", &["body.a=1"]),
        ("image/png", "{}", &["body=\"{}\""]),
        ("text/plain", "", &[]),
        (
            "multipart/form-data; boundary=X",
            "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n--X\r\n\r\nz\r\n--X--\r\n",
            &["body.a=\"1\\r\\n2\"", "body[1]=\"z\""],
        ),
        ("multipart/form-data; boundary=X", "--Y--", &["body=\"--Y--\""]),
    ] {
        assert_eq!(of_body(kind, body), expected, "{kind} {body}");
    }
    assert_eq!(of_body("text/plain", &"x".repeat(LONGEST_TEXT + 1)), ["body=4097 bytes"]);
    // More leaves, or deeper, than is looked at: one digest.
    assert_eq!(of_body(json, &format!("[{}1]", "1,".repeat(MOST_FIELDS))), ["body=40003 bytes"]);
    assert_eq!(of_body(json, &format!("{}{}", "[".repeat(3000), "]".repeat(3000))), ["body=6000 bytes"]);
}

#[test]
fn coding_order_and_spacing_make_no_difference() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{ \"b\": 2, \"a\": 1 }").unwrap();
    let coded = headers(&[("content-type", "application/json"), ("Content-Encoding", "gzip")]);
    let a = of_answer(200, &coded, Content::Bytes(&gzip.finish().unwrap()));
    let b = of_answer(
        200,
        &headers(&[("Content-Type", "application/JSON")]),
        Content::Bytes(b"{\"a\":1,\"b\":2}"),
    );
    assert_eq!(compare(&a, &b), []);
    assert_eq!((plain(&a), masked(&a, 0)), (plain(&b), masked(&b, 0)));
}

#[test]
fn of_answers_few_header_fields_are_compared() {
    let of = headers(&[
        ("Location", "http://localhost:8084/a"),
        ("Content-Type", "multipart/mixed; boundary=abc"),
        ("set-cookie", "sid=1; Path=/"),
        ("Set-Cookie", "theme=x"),
        ("Date", "now"),
        ("X-Request-Id", "1"),
    ]);
    let fields = of_answer(201, &of, Content::Bytes(b""));
    let names: Vec<&str> = fields.keys().map(|name| &**name).collect();
    assert_eq!(
        names,
        [
            "header.content-type",
            "header.location",
            "header.set-cookie.sid",
            "header.set-cookie.theme",
            "status"
        ]
    );
    assert_eq!(fields["header.location"], Leaf::Text("http://localhost:*/a".into()));
    assert_eq!(fields["header.content-type"], Leaf::Text("multipart/mixed".into()));
}

#[test]
fn targets_in_all_forms() {
    for (target, expected) in [
        ("/a/b?c=d#e", ("/a/b", "c=d")),
        ("http://h:1/a?b", ("/a", "b")),
        ("http://h", ("/", "")),
        ("http://h?x=1", ("/", "x=1")),
        ("*", ("*", "")),
        ("/a?next=http://h/b", ("/a", "next=http://h/b")),
        ("/r/http://h/b?c", ("/r/http://h/b", "c")),
        ("", ("/", "")),
    ] {
        assert_eq!(split_target(target), expected, "{target}");
    }
    let fields = of_request("/a?q=1&q=2&r=%41+", &[], Content::Bytes(b""));
    let names: Vec<&str> = fields.keys().map(|name| &**name).collect();
    assert_eq!(names, ["query.q", "query.q[1]", "query.r"]);
    assert_eq!(fields["query.r"], Leaf::Text("A ".into()));
}

#[test]
fn differences_name_both_sides() {
    let body = |text: &'static str| of_request("/", &[], Content::Bytes(text.as_bytes()));
    let found = compare(&body("{\"a\":1,\"b\":2,\"d\":4}"), &body("{\"a\":1,\"b\":\"2\",\"c\":3}"));
    let number = |text: &str| Some(Leaf::Number(text.into()));
    let expected = [
        ("body.b", number("2"), Some(Leaf::Text("2".into()))),
        ("body.c", None, number("3")),
        ("body.d", number("4"), None),
    ];
    let found: Vec<_> = found.iter().map(|it| (&*it.field, it.recorded.clone(), it.live.clone())).collect();
    assert_eq!(found, expected);
    let paths = compare_paths("/orders/17/items", "/orders/18");
    assert_eq!(paths.iter().map(|it| &*it.field).collect::<Vec<_>>(), ["path[1]", "path[2]"]);
}

const NOW: i128 = 1_767_323_045_000_000_000;

#[test]
fn times_on_both_sides_are_volatile() {
    let text = |text: &str| Leaf::Text(text.into());
    let number = |text: &str| Leaf::Number(text.into());
    for leaf in [
        text("2026-01-02T03:04:05.006Z"),
        text("2026-01-02T03:04:05+01:00"),
        text("2026-01-02T03:04:05.123456"),
        text("2026-01-02 03:04:05"),
        text("Fri, 02 Jan 2026 03:04:05 GMT"),
        text("1767323045"),
        number("1767323045"),
        number("1767323045.25"),
        number("1767323045123"),
        number("1767323045123456789"),
    ] {
        assert!(is_time(&leaf, NOW), "{leaf:?}");
        assert!(are_times(&leaf, NOW, &leaf, NOW));
        // What is no time on one side, and what is another type, is none of both.
        assert!(!are_times(&leaf, NOW, &text("never"), NOW) && !are_times(&leaf, NOW, &Leaf::Null, NOW));
    }
    for leaf in [
        text("2026-01-02"),
        text("12:34:56"),
        text("20260102"),
        text("1.2.3.4:56789"),
        number("1467323045"),
        number("1767323045e3"),
        number("7"),
        Leaf::Null,
    ] {
        assert!(!is_time(&leaf, NOW), "{leaf:?}");
    }
    assert!(
        !are_times(&number("1767323045"), NOW, &number("1767323045"), NOW + 2 * 86_400_000_000_000),
        "each near its own now"
    );
}

#[test]
fn ids_are_known_by_their_shape() {
    for id in [
        "018f3b1e-7c1d-7f3a-9d55-0242ac120002",
        "5f0c6d1e",
        "DEADBEEF00",
        "12345678",
        "ord_5f0c6d1e9b7a",
        "cus_NffrFeUfNV2Hib",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "dGhpcyBpcyBh3Rva2Vu9x",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "redacted-5f0c6d1e9b7a4c3d8e2f1a0b",
    ] {
        assert!(is_id(id), "{id}");
    }
    for word in [
        "",
        "1",
        "1234567",
        "apple",
        "defaced",
        "deadbeef",
        "v1",
        "order-items",
        "a-long-slug-of-words-2026",
        "2026-01-02",
        "checkout_session",
        "application/json",
    ] {
        assert!(!is_id(word), "{word}");
    }
    assert_eq!(template("/orders/018f3b1e-7c1d-7f3a-9d55-0242ac120002/items/7"), "/orders/*/items/7");
    assert_eq!((template("/"), template("*")), ("/".to_owned(), "/*".to_owned()));
}

#[test]
fn masked_digests_are_equal_where_only_ids_and_times_differ() {
    let body = |text: &str| of_request("/", &[], Content::Bytes(text.as_bytes()));
    let a = body("{\"id\":\"5f0c6d1e\",\"at\":1767323045,\"n\":1}");
    let b = body("{\"id\":\"aa0c6d1e\",\"at\":1767323046,\"n\":1}");
    let c = body("{\"id\":\"aa0c6d1e\",\"at\":1767323046,\"n\":2}");
    assert_eq!(masked(&a, NOW), masked(&b, NOW));
    assert_ne!(plain(&a), plain(&b));
    assert_ne!(masked(&b, NOW), masked(&c, NOW));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        "\\PC{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-c.\"]{1,2}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_fields(target in "\\PC{0,40}", kind in "(application/json|multipart/x; boundary=a|application/x-www-form-urlencoded|)", body in any::<Vec<u8>>()) {
        let fields = of_request(&target, &headers(&[("content-type", &kind)]), Content::Bytes(&body));
        prop_assert_eq!(compare(&fields, &fields), []);
        let _ = (plain(&fields), masked(&fields, NOW), template(&target));
    }

    /// Values are equal exactly if their fields are, and however they are written.
    #[test]
    fn fields_tell_values_apart_and_spellings_not(a in json(), b in json()) {
        let of = |text: String| of_request("/", &headers(&[("content-type", "application/json")]), Content::Bytes(text.as_bytes()));
        let pretty = |value: &serde_json::Value| of(serde_json::to_string_pretty(value).unwrap());
        prop_assert_eq!(pretty(&a), of(a.to_string()));
        prop_assert_eq!(a == b, compare(&pretty(&a), &pretty(&b)).is_empty());
        prop_assert_eq!(a == b, plain(&pretty(&a)) == plain(&pretty(&b)));
    }

    #[test]
    fn multipart_parts_come_back(parts in prop::collection::btree_map("[a-z]{1,4}", "[a-z\\r\\n-]{0,12}", 1..4)) {
        let mut body = String::new();
        for (name, value) in &parts {
            body.push_str(&format!("--B0und\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
        }
        body.push_str("--B0und--\r\n");
        let fields = of_request("/", &headers(&[("content-type", "multipart/form-data; boundary=B0und")]), Content::Bytes(body.as_bytes()));
        let expected: Fields = parts.iter().map(|(name, value)| (format!("body.{name}").into(), Leaf::of(value.as_bytes()))).collect();
        prop_assert_eq!(fields, expected);
    }
}

#[test]
fn secrets_tell_no_more_than_ids_do() {
    let of = |target: &str| masked(&of_request(target, &[], Content::Bytes(b"")), 0);
    // Tokens of which the digits and letters alternate much, and little.
    let (one, two) = ("redacted-1a2b3c4d5e6f1a2b3c4d5e6f", "redacted-aaaaaaaaaaaa111111111111");
    assert_eq!(of(&format!("/pay?sig={one}&amount=5")), of(&format!("/pay?sig={two}&amount=5")));
    assert_ne!(of(&format!("/pay?sig={one}&amount=5")), of(&format!("/pay?sig={one}&amount=6")));
    assert_ne!(of(&format!("/pay?sig={one}")), of("/pay?sig=none"));
}
