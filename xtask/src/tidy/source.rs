//! Rust source text as the rules want it: comments and literals blanked out, tests cut away.

/// The text with each comment, string and character literal replaced by spaces. Lines stay where they are, so
/// words and braces can be looked for without being misled by what is only quoted.
pub fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let prefixed = if is_word(previous) { 0 } else { literal(rest) };
        let quoted = prefixed.max(comment(rest)).max(string(rest)).max(character(rest));
        let (piece, tail) = rest.split_at(quoted.max(first.len_utf8()));
        if quoted == 0 {
            out.push(first);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        previous = first;
        rest = tail;
    }
    out
}

/// Whether a character can stand in a name.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length in bytes of the comment that `text` begins with, or 0.
fn comment(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if !text.starts_with("/*") {
        return 0;
    }
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (1, 2),
            [b'*', b'/', ..] => (-1, 2),
            _ => (0, 1),
        };
        depth += step.0;
        at += step.1;
        if depth == 0 {
            break;
        }
    }
    at.min(text.len())
}

/// The length of a prefixed string or byte literal (`r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `b'…'`), or 0.
fn literal(text: &str) -> usize {
    for prefix in ["br", "cr", "r"] {
        let Some(after) = text.strip_prefix(prefix) else { continue };
        let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
        if !after[hashes..].starts_with('"') {
            continue;
        }
        let open = prefix.len() + hashes + 1;
        let close = format!("\"{}", "#".repeat(hashes));
        return text[open..].find(&close).map_or(text.len(), |at| open + at + close.len());
    }
    for prefix in ["b", "c"] {
        if let Some(after) = text.strip_prefix(prefix) {
            let length = string(after).max(if prefix == "b" { character(after) } else { 0 });
            return if length == 0 { 0 } else { length + 1 };
        }
    }
    0
}

/// The length of a string literal, or 0.
fn string(text: &str) -> usize {
    if !text.starts_with('"') {
        return 0;
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of a character literal, or 0 for a lifetime.
fn character(text: &str) -> usize {
    let Some(inside) = text.strip_prefix('\'') else { return 0 };
    if inside.starts_with('\\') {
        // The escaped character itself may be a quote.
        return inside.get(2..).and_then(|after| after.find('\'')).map_or(0, |at| at + 4);
    }
    let mut characters = inside.char_indices().skip(1);
    match characters.next() {
        Some((at, '\'')) => at + 2,
        _ => 0,
    }
}

/// The byte after the item that begins at `from` in blanked text: after the block it opens, or after its `;`.
pub fn end_of_item(code: &str, from: usize) -> usize {
    let (mut braces, mut brackets) = (0usize, 0usize);
    for (at, c) in code[from..].char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces <= 1 => return from + at + 1,
            '}' => braces -= 1,
            ';' if braces == 0 && brackets == 0 => return from + at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Blanked text without its `#[cfg(test)]` items.
pub fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let end = end_of_item(rest, at + "#[cfg(test)]".len());
        out.push_str(&rest[..at]);
        out.extend(rest[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[end..];
    }
    out + rest
}

/// The number, from 1, of the line that holds a byte.
pub fn line_of(text: &str, byte: usize) -> usize {
    text[..byte].matches('\n').count() + 1
}

/// Where a word stands in blanked text, as a whole word.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_or_commented_is_blanked() {
        for (text, expected) in [
            ("a // b\nc", "a c"),
            ("a /* b /* c */ \n d */ e", "a e"),
            (r#"f("{ \" }") }"#, "f( ) }"),
            ("r#\"a \" b\"# + r", "+ r"),
            (r#"r"\" + x"#, "+ x"),
            (r#"br"a" b"b" c"c" x"#, "x"),
            (r"'{' 'a '\'' b'}' '\u{7d}' '\\' 'é' x", "'a x"),
            ("<'a>(x: &'a str) -> char { 'x' }", "<'a>(x: &'a str) -> char { }"),
            ("bar\"x\" + y", "bar + y"),
            (r#"for_"\\" }"#, "for_ }"),
            ("a \"open", "a"),
            ("a /* open", "a"),
            ("'\\", "'\\"),
        ] {
            let code = code(text);
            assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{text}");
            assert_eq!(code.chars().count(), text.chars().count(), "{text}");
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "let a = \"x\n y\"; /* \n */ b // c\n d";
        assert_eq!(code(text).matches('\n').count(), text.matches('\n').count());
        assert_eq!(line_of(&code(text), code(text).find('d').unwrap()), 4);
    }

    #[test]
    fn tests_are_cut_away_and_the_rest_stays() {
        let code =
            "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\nmod t { fn c() {} }\nfn d() {}";
        let rest = without_tests(code);
        assert_eq!(rest.split_whitespace().collect::<String>(), "fna(){}fnb(){}fnd(){}");
        assert_eq!(rest.matches('\n').count(), code.matches('\n').count());
    }

    #[test]
    fn an_item_ends_at_its_brace_or_semicolon() {
        assert_eq!(end_of_item("fn a() { { } } x", 0), 14);
        assert_eq!(end_of_item("mod a; { }", 0), 6);
        assert_eq!(end_of_item("fn a(x: [u8; 2]) { x; } y", 0), 23);
        assert_eq!(end_of_item("fn a() {", 0), 8);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("unsafe unsafe_code my_unsafe (unsafe)", "unsafe").collect::<Vec<_>>(), [0, 30]);
    }
}
