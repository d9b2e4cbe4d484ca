//! SQL text with holes for arguments: what a plan keeps of a statement that it sends in another form.

use crate::error::Result;

/// Text and argument references, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Argument `args[n]` of the statement (`:v1` is 0).
    Arg(u32),
    /// A value that the plan makes while it runs, by the number in its name (`:j3` is 3).
    Bind(u32),
    /// A list of such values (`:k3` is 3), without the parentheses around it.
    BindList(u32),
    /// List argument `args[n]` of the statement (`:l1` is 0), without the parentheses around it.
    ListArg(u32),
    /// Text as it is.
    Text(Box<[u8]>),
}

/// Gives the values for the holes of a template.
pub trait ArgSource {
    /// Appends argument `index` as a literal.
    fn write_arg(&self, index: u32, out: &mut Vec<u8>) -> Result<()>;

    /// Appends the items of list argument `index`, with commas between; at least one item.
    fn write_list(&self, index: u32, out: &mut Vec<u8>) -> Result<()>;

    /// Appends run-time value `number` as a literal.
    fn write_bind(&self, number: u32, out: &mut Vec<u8>) -> Result<()>;

    /// Appends the items of run-time list `number`, with commas between; at least one item.
    fn write_bind_list(&self, number: u32, out: &mut Vec<u8>) -> Result<()>;
}

impl Template {
    /// An empty template.
    pub fn new() -> Self {
        Self::default()
    }

    /// The parts.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Appends text as it is.
    pub fn push_text(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if let Some(Piece::Text(last)) = self.pieces.last_mut() {
            let mut joined = std::mem::take(last).into_vec();
            joined.extend_from_slice(text);
            *last = joined.into_boxed_slice();
        } else {
            self.pieces.push(Piece::Text(text.into()));
        }
    }

    /// Appends a part.
    pub fn push(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => self.push_text(&text),
            piece => self.pieces.push(piece),
        }
    }

    /// Writes the text with all holes filled.
    pub fn render(&self, source: &dyn ArgSource, out: &mut Vec<u8>) -> Result<()> {
        for piece in &self.pieces {
            match piece {
                Piece::Arg(index) => source.write_arg(*index, out)?,
                Piece::Bind(number) => source.write_bind(*number, out)?,
                Piece::BindList(number) => source.write_bind_list(*number, out)?,
                Piece::ListArg(index) => source.write_list(*index, out)?,
                Piece::Text(text) => out.extend_from_slice(text),
            }
        }
        Ok(())
    }

    /// The text with the names of its holes, for plans that people read.
    pub fn describe(&self) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Arg(index) => out.push_str(&format!(":v{}", index + 1)),
                Piece::Bind(number) => out.push_str(&format!(":j{number}")),
                Piece::BindList(number) => out.push_str(&format!(":k{number}")),
                Piece::ListArg(index) => out.push_str(&format!(":l{}", index + 1)),
                Piece::Text(text) => out.push_str(&String::from_utf8_lossy(text)),
            }
        }
        out
    }
}

/// The hole that a placeholder of the AST names.
pub(super) fn hole(name: &str) -> Option<Piece> {
    let mut characters = name.strip_prefix(':')?.chars();
    let letter = characters.next()?;
    let number: u32 = characters.as_str().parse().ok()?;
    match letter {
        'v' => Some(Piece::Arg(number.checked_sub(1)?)),
        'l' => Some(Piece::ListArg(number.checked_sub(1)?)),
        'j' => Some(Piece::Bind(number)),
        'k' => Some(Piece::BindList(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbers;

    impl ArgSource for Numbers {
        fn write_arg(&self, index: u32, out: &mut Vec<u8>) -> Result<()> {
            out.extend_from_slice(format!("{index}").as_bytes());
            Ok(())
        }

        fn write_list(&self, index: u32, out: &mut Vec<u8>) -> Result<()> {
            out.extend_from_slice(format!("{index}, {index}").as_bytes());
            Ok(())
        }

        fn write_bind(&self, number: u32, out: &mut Vec<u8>) -> Result<()> {
            out.extend_from_slice(format!("'{number}'").as_bytes());
            Ok(())
        }

        fn write_bind_list(&self, number: u32, out: &mut Vec<u8>) -> Result<()> {
            self.write_bind(number, out)
        }
    }

    #[test]
    fn holes_are_filled_in_order() {
        let mut template = Template::new();
        template.push_text(b"select ");
        template.push_text(b"a = ");
        for name in [":v1", ":l2", ":j7", ":k8"] {
            template.push(hole(name).unwrap());
            template.push_text(b";");
        }
        assert_eq!(template.pieces().len(), 9);
        let mut out = Vec::new();
        template.render(&Numbers, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "select a = 0;1, 1;'7';'8';");
        assert_eq!(template.describe(), "select a = :v1;:l2;:j7;:k8;");
    }

    #[test]
    fn other_placeholders_are_no_holes() {
        for name in ["?", ":v0", ":x1", ":v", "v1", ":v1x"] {
            assert!(hole(name).is_none(), "{name}");
        }
    }
}
