//! The client's own text with a few spans replaced: what is sent when a statement goes to one place.

use super::token::Span;

/// A span to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// What goes; may be empty to insert only.
    pub span: Span,
    /// What comes in its place; may be empty to remove only.
    pub text: &'a [u8],
}

/// Appends the part `within` of `text` with the edits done. They must be in the order of the text and must not
/// overlap; those outside of `within` are left out, as are spans that would go backwards.
pub fn splice(text: &[u8], within: Span, edits: &[Edit<'_>], out: &mut Vec<u8>) {
    let mut from = within.start;
    for edit in edits.iter().filter(|edit| edit.span.end <= within.end) {
        if edit.span.start < from || edit.span.end < edit.span.start {
            debug_assert!(edit.span.end <= within.start, "edits overlap or are out of order");
            continue;
        }
        out.extend_from_slice(Span { start: from, end: edit.span.start }.of(text));
        out.extend_from_slice(edit.text);
        from = edit.span.end;
    }
    out.extend_from_slice(Span { start: from, end: within.end }.of(text));
}

/// The whole of `text` with spans replaced, which must be in the order of the text.
pub fn splice_all(text: &[u8], edits: &[(Span, &[u8])]) -> Vec<u8> {
    let edits: Vec<Edit<'_>> = edits.iter().map(|(span, text)| Edit { span: *span, text }).collect();
    let mut out = Vec::with_capacity(text.len() + 64);
    splice(text, Span::new(0, text.len()), &edits, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_replaced_inserted_and_removed() {
        let text = b"select a from ks.t where b";
        let mut out = Vec::new();
        let edits = [
            Edit { span: Span::new(7, 8), text: b"xyz" },
            Edit { span: Span::new(14, 17), text: b"" },
            Edit { span: Span::new(26, 26), text: b" = 1" },
        ];
        splice(text, Span::new(0, text.len()), &edits, &mut out);
        assert_eq!(out, b"select xyz from t where b = 1");
        out.clear();
        splice(text, Span::new(9, 18), &edits, &mut out);
        assert_eq!(out, b"from t");
    }
}
