use super::super::shape::Shape;
use super::super::tests::check;
use super::*;

fn json() -> Shape {
    Shape::Json(Json::default())
}

#[test]
fn the_values_of_secret_names() {
    for (text, expected) in [
        (r#"{"user":"ann","password":"x"}"#, r#"{"user":"ann","password":"{x}"}"#),
        (
            r#"{ "a" : [ {"Pass\u0077ord" : "x\"\\\u0041"} ] }"#,
            r#"{ "a" : [ {"Pass\u0077ord" : "{x"\A}"} ] }"#,
        ),
        (r#"{"password":"","token":null,"pwd":true}"#, r#"{"password":"","token":null,"pwd":true}"#),
        (r#"{"pin":1234,"otp":-1.5e3}"#, r#"{"pin":"{1234}-number","otp":"{-1.5e3}-number"}"#),
        (
            r#"{"secret":{"a":"x","b":[1,"y",null,{"c":"z"}],"password":"w"},"d":"v"}"#,
            r#"{"secret":{"a":"{x}","b":["{1}-number","{y}",null,{"c":"{z}"}],"password":"{w}"},"d":"v"}"#,
        ),
        (
            r#"{"tokens":1,"password" : {}, "secret":[], "x":"y"}"#,
            r#"{"tokens":1,"password" : {}, "secret":[], "x":"y"}"#,
        ),
        (
            "{\"token\":\"a\"}\n{\"token\":\"b\"} {\"x\":\"y\"}",
            "{\"token\":\"{a}\"}\n{\"token\":\"{b}\"} {\"x\":\"y\"}",
        ),
        // What is no JSON, or only a part.
        (r#"{"token":"a"#, r#"{"token":"{a}"#),
        (r#"{"token":12"#, r#"{"token":"{12}-number""#),
        (r#"{"token":"#, r#"{"token":"#),
        (r#"{"token""#, r#"{"token""#),
        (r#"{"token":abc def}"#, r#"{"token":"{abc}" def}"#),
        (r#"{"token":,"x":"y"}"#, r#"{"token":,"x":"y"}"#),
        (r#"]}"token":"a","b":"c"]"#, r#"]}"token":"{a}","b":"c"]"#),
        (r#"{"token":{"a":"b"]"c":"d"}"#, r#"{"token":{"a":"{b}"]"c":"d"}"#),
        ("{\"note\":\"open\n{\"token\":\"a\"}", "{\"note\":\"open\n{\"token\":\"{a}\"}"),
        ("{\"private_key\":\"one\ntwo\"}", "{\"private_key\":\"{one\ntwo}\"}"),
        ("callback({\"token\":\"a\"});", "callback({\"token\":\"{a}\"});"),
    ] {
        check(json, text.as_bytes(), expected.as_bytes());
    }
    check(json, b"{\"token\":\"\xff\"}\xff", b"{\"token\":\"{\xff}\"}\xff");
}

#[test]
fn depth_and_length_cost_neither_stack_nor_memory() {
    let mut redactor = super::super::tests::redactor();
    for (piece, count) in
        [("[", 3 << 20), ("{\"a\":", 1 << 20), ("\"", 1001), ("\\", 5 << 20), ("1", 5 << 20)]
    {
        for start in ["", "{\"token\":", "{\"token\":\"", "{\"", "{\"token\":{\"a"] {
            let mut json = Json::default();
            let mut out = Vec::new();
            json.feed(&mut redactor, start.as_bytes(), &mut out);
            let pieces = piece.repeat(10_000);
            for _ in 0..count / 10_000 {
                json.feed(&mut redactor, pieces.as_bytes(), &mut out);
                let held = json.text.capacity() + json.secret.objects.capacity();
                assert!(held <= 256 << 10, "{piece} {start}: {held}");
                out.clear();
            }
            json.finish(&mut redactor, &mut out);
        }
    }
}
