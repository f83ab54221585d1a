//! What senders call a request, so that others can tell which one they mean: trace ids and request ids.

/// Identifiers that are looked at in one message.
const MOST: usize = 8;
/// Shorter values are counters or words, which two requests may have by chance.
const LEAST_LENGTH: usize = 8;
/// Longer values are not identifiers.
const MOST_LENGTH: usize = 256;

/// How a field's value holds an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `version-traceid-parentid-flags` (W3C Trace Context section 3.2).
    TraceParent,
    /// A trace id in hexadecimal, and what may follow it after one of `-`, `:`, `/`, `;` and `%`.
    Trace,
    /// `Root=…` among fields between semicolons (AWS X-Ray).
    Root,
    /// The whole value.
    Plain,
}

const FORMS: [(&str, Form); 17] = [
    ("traceparent", Form::TraceParent),
    ("elastic-apm-traceparent", Form::TraceParent),
    ("b3", Form::Trace),
    ("x-b3-traceid", Form::Trace),
    ("x-cloud-trace-context", Form::Trace),
    ("uber-trace-id", Form::Trace),
    ("sentry-trace", Form::Trace),
    ("x-ot-traceid", Form::Trace),
    ("x-amzn-trace-id", Form::Root),
    ("x-datadog-trace-id", Form::Plain),
    ("x-trace-id", Form::Plain),
    ("x-request-id", Form::Plain),
    ("x-correlation-id", Form::Plain),
    ("x-request-context", Form::Plain),
    ("x-amzn-requestid", Form::Plain),
    ("request-id", Form::Plain),
    ("correlation-id", Form::Plain),
];

/// The identifiers in a message's head, each once, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifiers {
    all: Vec<Box<str>>,
    /// How many of them, from the first, are ids of traces.
    traces: usize,
}

impl Identifiers {
    /// Each of them, in a spelling that is the same whatever field it came in.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(AsRef::as_ref)
    }

    /// Those that name a trace: who passes them on does so with every call that belongs to it.
    pub fn traces(&self) -> impl Iterator<Item = &str> {
        self.iter().take(self.traces)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether an identifier is in both.
    pub fn shares(&self, other: &Self) -> bool {
        self.all.iter().any(|one| other.all.contains(one))
    }
}

/// The identifiers among a message's fields (name, value). A value that cannot be one is passed over.
pub fn identifiers<'a>(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Identifiers {
    let mut found = Identifiers::default();
    for (name, value) in fields {
        let Some(form) = form_of(name) else { continue };
        let Some(identifier) = std::str::from_utf8(value).ok().and_then(|value| read(form, value)) else {
            continue;
        };
        if found.all.len() >= MOST || found.all.contains(&identifier) {
            continue;
        }
        if form == Form::Plain {
            found.all.push(identifier);
        } else {
            found.all.insert(found.traces, identifier);
            found.traces += 1;
        }
    }
    found
}

fn form_of(name: &str) -> Option<Form> {
    // Most fields are told by their length already.
    FORMS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, form)| *form)
}

fn read(form: Form, value: &str) -> Option<Box<str>> {
    let value = value.trim();
    match form {
        Form::TraceParent => {
            let mut parts = value.split('-');
            let version = parts.next()?;
            let id = parts.next()?;
            (version.len() == 2 && !version.eq_ignore_ascii_case("ff") && id.len() == 32).then_some(())?;
            trace(id)
        }
        Form::Trace => trace(value.split(['-', ':', '/', ';', '%']).next()?),
        Form::Root => {
            let root = value.split(';').find_map(|part| part.trim().strip_prefix("Root="))?;
            plain(root)
        }
        Form::Plain => plain(value),
    }
}

/// Ids of 64 and 128 bits, the shorter padded or not, are the same id. Of all its digits any value but zero is one (W3C Trace
/// Context section 3.2.2.3), also one that somebody counts up; of fewer digits it is as with other identifiers.
fn trace(id: &str) -> Option<Box<str>> {
    let is_hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let significant = id.trim_start_matches('0');
    let tells =
        if matches!(id.len(), 16 | 32) { !significant.is_empty() } else { significant.len() >= LEAST_LENGTH };
    (is_hex && id.len() <= 32 && tells).then(|| significant.to_ascii_lowercase().into())
}

fn plain(value: &str) -> Option<Box<str>> {
    let first = value.bytes().next()?;
    let tells = value.len() >= LEAST_LENGTH
        && value.len() <= MOST_LENGTH
        // Zeros, dashes: somebody had none.
        && value.bytes().any(|byte| byte != first && byte != b'-')
        && value.bytes().all(|byte| byte.is_ascii_graphic());
    let is_hex = value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    // Hexadecimal is spelt either way; elsewhere case tells values apart.
    tells.then(|| if is_hex { value.to_ascii_lowercase().into() } else { value.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)]) -> Vec<String> {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        identifiers(fields).iter().map(str::to_owned).collect()
    }

    #[test]
    fn one_trace_is_one_identifier_in_whatever_field_it_stands() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let spellings = [
            ("traceparent", format!("00-{id}-00f067aa0ba902b7-01")),
            ("Traceparent", format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase())),
            ("b3", format!("{id}-e457b5a2e4d86bd1-1")),
            ("X-B3-TraceId", id.to_owned()),
            ("x-cloud-trace-context", format!("{id}/123;o=1")),
            ("uber-trace-id", format!("{id}:1:0:1")),
            ("uber-trace-id", format!("{id}%3A1%3A0%3A1")),
            ("sentry-trace", format!("{id}-00f067aa0ba902b7")),
            ("x-request-id", id.to_owned()),
        ];
        for (name, value) in spellings {
            assert_eq!(of(&[(name, &value)]), [id], "{name}: {value}");
        }
        let padded = "0000000000000000a3ce929d0e0e4736";
        assert_eq!(of(&[("x-b3-traceid", padded)]), of(&[("x-b3-traceid", "a3ce929d0e0e4736")]));
        let root = "1-67891233-abcdef012345678912345678";
        assert_eq!(of(&[("X-Amzn-Trace-Id", &format!("Self=1-a;Root={root};Sampled=1"))]), [root]);
    }

    #[test]
    fn what_means_nothing_is_passed_over() {
        for (name, value) in [
            ("x-request-id", "17"),
            ("x-request-id", "00000000-0000-0000-0000-000000000000"),
            ("x-request-id", "--------------"),
            ("x-request-id", "a value with spaces"),
            ("x-request-id", ""),
            ("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
            ("traceparent", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("traceparent", "00-short-00f067aa0ba902b7-01"),
            ("b3", "0"),
            ("user-agent", "a-long-user-agent"),
        ] {
            assert_eq!(of(&[(name, value)]), Vec::<String>::new(), "{name}: {value}");
        }
        assert!(identifiers([("x-request-id", b"\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc".as_slice())]).is_empty());
        let many: Vec<String> = (0..100).map(|number| format!("identifier-{number}")).collect();
        let found = identifiers(many.iter().map(|value| ("x-request-id", value.as_bytes())));
        assert_eq!(found.iter().count(), MOST);
    }

    #[test]
    fn ids_of_traces_are_told_from_others() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{id}-00f067aa0ba902b7-01");
        let fields = [("X-Request-Id", b"request-17".as_slice()), ("traceparent", parent.as_bytes())];
        let both = identifiers(fields);
        assert_eq!(both.traces().collect::<Vec<_>>(), [id]);
        assert!(both.shares(&identifiers([("X-Correlation-Id", b"request-17".as_slice())])));
        assert!(!both.shares(&identifiers([("X-Correlation-Id", b"Request-17".as_slice())])));
    }
}
