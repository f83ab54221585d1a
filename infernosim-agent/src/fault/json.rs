//! `set-json`: a value in a JSON body is another.

use serde_json::Value;

use crate::incident::redact::{Media, decoded};

/// The content with that value in the place that `path` names (`items.0.price`), without the coding that `headers` tell
/// of. None where it is no JSON, or the path leads nowhere; a name that an object has not is added to it.
pub fn set_json(headers: &[(String, Vec<u8>)], content: &[u8], path: &str, value: &Value) -> Option<Vec<u8>> {
    let plain = decoded(&Media::of(headers), content);
    let mut json: Value = serde_json::from_slice(plain.as_deref().unwrap_or(content)).ok()?;
    put(&mut json, path, value)?;
    Some(json.to_string().into_bytes())
}

fn put(json: &mut Value, path: &str, value: &Value) -> Option<()> {
    let mut at = json;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let is_last = steps.peek().is_none();
        at = match at {
            Value::Object(fields) if is_last || fields.contains_key(step) => {
                fields.entry(step).or_insert(Value::Null)
            }
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    *at = value.clone();
    Some(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    fn set(headers: &[(&str, &str)], content: &[u8], path: &str) -> Option<Value> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let made = set_json(&headers.collect::<Vec<_>>(), content, path, &json!(7))?;
        Some(serde_json::from_slice(&made).unwrap())
    }

    #[test]
    fn a_path_leads_into_objects_and_lists() {
        let content = b"{\"a\":[{\"b\":1}]}";
        assert_eq!(set(&[], content, "a.0.b"), Some(json!({"a": [{"b": 7}]})));
        assert_eq!(set(&[], content, "a.0.c"), Some(json!({"a": [{"b": 1, "c": 7}]})));
        for nowhere in ["a.1", "a.b", "x.y", "a.0.b.c", ""] {
            let found = set(&[], content, nowhere);
            assert!(found.is_none() || nowhere.is_empty(), "{nowhere}: {found:?}");
        }
        assert_eq!(set(&[], b"<html>", "a"), None);
    }

    #[test]
    fn content_is_read_through_its_coding() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"{\"a\":1}").unwrap();
        let packed = gzip.finish().unwrap();
        assert_eq!(set(&[("Content-Encoding", "gzip")], &packed, "a"), Some(json!({"a": 7})));
        assert_eq!(set(&[], &packed, "a"), None);
        assert_eq!(set(&[("content-encoding", "zstd")], &packed, "a"), None);
        // One that says so and is not.
        assert_eq!(set(&[("Content-Encoding", "gzip")], b"{\"a\":1}", "a"), Some(json!({"a": 7})));
    }
}
