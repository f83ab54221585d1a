//! Gathers a head or trailer section that came in pieces.

use super::Turn;

/// The longest head or trailer section.
pub(super) const MAX_HEAD: usize = 1024 * 1024;

/// Moves bytes from `input` to `held` up to the empty line that ends the section, and returns the section if it
/// is whole. Looks at every byte once, however small the pieces. `check(held, line)` may refuse early.
pub(super) fn gather<'i>(
    held: &mut Vec<u8>,
    input: &mut &'i [u8],
    mut check: impl FnMut(&[u8], &[u8]) -> Result<(), &'static str>,
) -> Result<Option<Vec<u8>>, Turn<'i>> {
    if held.is_empty() {
        // Room for most heads at once, rather than growing by the line.
        held.reserve(input.len().clamp(1024, MAX_HEAD));
    }
    while !input.is_empty() {
        let end = input.iter().position(|b| *b == b'\n').map_or(input.len(), |at| at + 1);
        let (line, rest) = input.split_at(end);
        check(held, line).map_err(|error| Turn::error(error, input))?;
        if held.len() + line.len() > MAX_HEAD {
            return Err(Turn::error("a head of more than 1 MiB", input));
        }
        held.extend_from_slice(line);
        *input = rest;
        if held.ends_with(b"\n\n") || held.ends_with(b"\n\r\n") || matches!(held.as_slice(), b"\n" | b"\r\n")
        {
            return Ok(Some(std::mem::take(held)));
        }
    }
    Ok(None)
}
