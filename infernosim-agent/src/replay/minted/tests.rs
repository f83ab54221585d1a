use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::replay::recorded::Recorded;

fn headers(of: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    of.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

/// Target, header fields, body.
type Asked<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// A first exchange with this answer, then requests with these (target, headers, body); what they become when the live
/// service answers otherwise.
fn carried(
    recorded: (&[(&str, &str)], &str),
    live: (&[(&str, &str)], &str),
    then: &[Asked<'_>],
) -> (Vec<String>, Minted) {
    let mut recording = Recorded::new();
    let fields = |of: &[(&str, &str)]| {
        let fields = of.iter().map(|(name, value)| ((*name).to_owned(), json!([value])));
        serde_json::Value::Object(fields.collect())
    };
    let id = recording.request(0, "POST", "/orders", json!({}));
    recording.answer(1, &id, 201, recorded.1, json!({"headers": fields(recorded.0)}));
    for (at, (target, headers, body)) in then.iter().enumerate() {
        recording.request(at as u64 + 2, "POST", target, json!({"headers": fields(headers), "body": body}));
    }
    let script = recording.script().unwrap();
    let mut minted = Minted::new(script.clone(), 1);
    let answer = script.answer(ExchangeIndex(0)).unwrap();
    minted.learn(ExchangeIndex(0), &answer, &headers(live.0), live.1.as_bytes());
    let mut said = Vec::new();
    for at in 1..=then.len() as u32 {
        let mut request = script.request(ExchangeIndex(at)).unwrap();
        minted.apply(ExchangeIndex(at), &mut request);
        let fields =
            request.headers.iter().filter(|(name, _)| !["Host", "Content-Type"].contains(&name.as_str()));
        let fields: Vec<String> =
            fields.map(|(name, value)| format!(" {name}: {}", String::from_utf8_lossy(value))).collect();
        said.push(format!(
            "{}{} {}",
            request.target,
            fields.concat(),
            String::from_utf8_lossy(&request.body)
        ));
    }
    (said, minted)
}

#[test]
fn a_request_that_repeats_a_value_needs_the_answer_that_brought_it() {
    let mut recording = Recorded::new();
    let a = recording.request(0, "POST", "/orders?of=11111111", json!({}));
    recording.answer(1, &a, 201, "{\"id\":17,\"of\":\"11111111\",\"ref\":\"5f0c6d1e\",\"n\":3}", json!({}));
    let b = recording.request(2, "GET", "/orders/17", json!({}));
    recording.answer(3, &b, 200, "{\"ref\":\"5f0c6d1e\"}", json!({}));
    recording.request(4, "GET", "/a?ref=5f0c6d1e", json!({}));
    recording.request(5, "GET", "/a/3?of=11111111", json!({}));
    let script = recording.script().unwrap();
    let minted = Minted::new(script, 1);
    let needs: Vec<Option<u32>> = (0..4).map(|at| minted.needs(ExchangeIndex(at)).map(|it| it.0)).collect();
    assert_eq!(
        needs,
        [None, Some(0), Some(0), None],
        "a count, and what the client said first, are not waited for"
    );
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

#[test]
fn ids_go_wherever_the_recorded_ones_stood() {
    let (old, new) = ("018f3b1e-7c1d-7f3a-9d55-0242ac120002", "99993b1e-7c1d-7f3a-9d55-0242ac120002");
    let body = |id: &str| format!("{{\"order\":{{\"uuid\":\"{id}\"}},\"n\":1}}");
    let (said, minted) = carried(
        (&[JSON], &body(old)),
        (&[JSON], &body(new)),
        &[
            (&format!("/orders/{old}?of={old}&x={old}y"), &[("X-Order", old)], ""),
            ("/pay", &[JSON], &format!("{{ \"a\": [1.50, \"{old}\"], \"b\":\"x{old}\" }}")),
            ("/pay", &[FORM], &format!("a=1&order={old}")),
        ],
    );
    assert_eq!(said[0], format!("/orders/{new}?of={new}&x={old}y X-Order: {new} "));
    assert_eq!(said[1], format!("/pay {{ \"a\": [1.50, \"{new}\"], \"b\":\"x{old}\" }}"));
    assert_eq!(said[2], format!("/pay a=1&order={new}"));
    let places: Vec<&str> = minted.uses().iter().map(|it| &*it.place).collect();
    assert_eq!(places, ["path[1]", "query.of", "header.x-order", "body.a[1]", "body.order"]);
    assert!(minted.uses().iter().all(|it| &*it.field == "body.order.uuid" && &*it.recorded == old));
}

#[test]
fn short_numbers_go_only_where_a_name_says_so() {
    let (said, _) = carried(
        (&[JSON, ("Location", "/orders/17")], "{\"id\":17,\"total\":50,\"items\":3}"),
        (&[JSON, ("Location", "/orders/18")], "{\"id\":18,\"total\":60,\"items\":4}"),
        &[
            ("/orders/17", &[], ""),
            ("/orders/17/lines?id=17&page=17", &[JSON], "{\"id\":17,\"count\":17,\"name\":\"17\"}"),
            ("/page/50?total=50", &[], ""),
        ],
    );
    assert_eq!(said[0], "/orders/18 ");
    assert_eq!(said[1], "/orders/18/lines?id=18&page=17 {\"id\":18,\"count\":17,\"name\":\"17\"}");
    assert_eq!(said[2], "/page/50?total=60 ", "a total is no id");
}

#[test]
fn cookies_and_tokens_are_carried_on() {
    let (said, _) = carried(
        (
            &[JSON, ("Set-Cookie", "sid=abc; Path=/"), ("ETag", "\"v1-aaaaaaaaaaaa\"")],
            "{\"access_token\":\"eyJhbGciOiJIUzI1NiJ9.abc\"}",
        ),
        (
            &[JSON, ("Set-Cookie", "sid=xyz; Path=/"), ("ETag", "\"v2-bbbbbbbbbbbb\"")],
            "{\"access_token\":\"eyJhbGciOiJIUzI1NiJ9.xyz\"}",
        ),
        &[(
            "/a",
            &[
                ("Cookie", "theme=abc; sid=abc"),
                ("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.abc"),
                ("If-Match", "\"v1-aaaaaaaaaaaa\""),
            ],
            "",
        )],
    );
    assert_eq!(
        said[0],
        "/a Cookie: theme=abc; sid=xyz Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.xyz If-Match: \"v2-bbbbbbbbbbbb\" "
    );
}

#[test]
fn times_and_what_is_equal_are_not_learned() {
    let now = jiff::Timestamp::from_nanosecond(i128::from(clock::wall(clock::now()))).unwrap().to_string();
    let (said, mut minted) = carried(
        (&[JSON], "{\"at\":\"2026-01-02T03:04:05Z\",\"id\":\"5f0c6d1e\"}"),
        (&[JSON], &format!("{{\"at\":\"{now}\",\"id\":\"5f0c6d1e\"}}")),
        &[("/a?since=2026-01-02T03:04:05Z&id=5f0c6d1e", &[], "")],
    );
    assert_eq!(said[0], "/a?since=2026-01-02T03:04:05Z&id=5f0c6d1e ");
    assert!(minted.uses().is_empty());
    minted.begin();
}

#[test]
fn secrets_are_carried_on_by_what_their_tokens_stand_for() {
    let mut recording = Recorded::new();
    let token = "redacted-f26b540759235a9d2d6decc1";
    let secrets = format!("{{\"version\":1}}\n{{\"token\":\"{token}\",\"value\":\"s3cr3t\"}}\n");
    std::fs::write(recording.dir.path().join("secrets.json"), secrets).unwrap();
    let id = recording.request(0, "POST", "/login", json!({}));
    recording.answer(1, &id, 200, "", json!({"headers": {"Set-Cookie": [format!("sid={token}; Path=/")]}}));
    recording.request(
        2,
        "GET",
        "/me",
        json!({"headers": {"Host": ["x"], "Cookie": [format!("sid={token}")]}}),
    );
    let script = recording.script().unwrap();
    let mut minted = Minted::new(script.clone(), 1);
    let answer = script.answer(ExchangeIndex(0)).unwrap();
    minted.learn(ExchangeIndex(0), &answer, &headers(&[("set-cookie", "sid=n3w; Path=/")]), b"");
    let mut request = script.request(ExchangeIndex(1)).unwrap();
    assert_eq!(minted.apply(ExchangeIndex(1), &mut request), 1);
    assert_eq!(request.headers[1].1, b"sid=n3w");
    let uses = format!("{:?}", minted.uses());
    assert!(uses.contains(token) && !uses.contains("s3cr3t") && !uses.contains("n3w"), "{uses}");
}

proptest! {
    /// What is not changed stays byte for byte as it is; and no input is too odd.
    #[test]
    fn looking_at_a_request_changes_nothing(target in "\\PC{0,40}", cookie in "\\PC{0,20}", body in "\\PC{0,60}", kind in "(application/json|application/x-www-form-urlencoded|)") {
        let (mut after, mut fields) = (target.clone(), headers(&[("Cookie", &cookie), ("Content-Type", &kind)]));
        let mut content = Bytes::from(body.clone());
        let before = fields.clone();
        edit::edit(Parts { target: &mut after, headers: &mut fields, body: &mut content }, &mut |_| None);
        prop_assert_eq!((after, fields, content), (target, before, Bytes::from(body)));
    }

    /// Every value that is shown can be replaced, and is then shown as what was put there.
    #[test]
    fn what_is_put_is_there(value in "[a-z0-9 \"&%+;=/é]{1,12}", put in "[a-zA-Z0-9 \"%&+/é]{1,12}") {
        let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut target = format!("/a/{encoded}?q={encoded}");
        let mut fields = headers(&[("content-type", "application/json")]);
        let mut body = Bytes::from(json!({"v": value}).to_string());
        let seen = |target: &mut String, fields: &mut Vec<(String, Vec<u8>)>, body: &mut Bytes, with: Option<&str>| {
            let mut values = Vec::new();
            edit::edit(Parts { target, headers: fields, body }, &mut |slot| {
                let ours = ["path[1]", "query.q", "body.v"].contains(&slot.place);
                ours.then(|| values.push(slot.value.to_owned()));
                with.filter(|_| ours).map(str::to_owned)
            });
            values
        };
        prop_assert_eq!(seen(&mut target, &mut fields, &mut body, Some(&put)), vec![value; 3]);
        prop_assert_eq!(seen(&mut target, &mut fields, &mut body, None), vec![put; 3]);
    }
}

#[test]
fn the_token_of_a_form_goes_into_the_form_that_is_posted() {
    let page = |token: &str| {
        format!(
            "<h1>Pay</h1>\n<form method=post><input type=hidden name=csrf value='{token}'><input name=q></form>"
        )
    };
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let (said, minted) = carried(
        (&[("Content-Type", "text/html")], &page("So5a6r8sKkfBeZnqHdV06Pq8sI1Rtqsj")),
        (&[("Content-Type", "text/html")], &page("ao5irj_cTMzZl3kOJzmQzAx3iIUfEs-i")),
        &[("/pay", &form, "csrf=So5a6r8sKkfBeZnqHdV06Pq8sI1Rtqsj&q=1"), ("/pay", &form, "csrf=none&q=1")],
    );
    assert_eq!(said, ["/pay csrf=ao5irj_cTMzZl3kOJzmQzAx3iIUfEs-i&q=1", "/pay csrf=none&q=1"]);
    assert_eq!(minted.uses().len(), 1);
}
