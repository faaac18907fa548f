//! Output of processes as lines, and lines as a terminal may show them.

use std::time::Duration;

/// Parts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// A line longer than this is shown in pieces.
    const MOST: usize = 64 << 10;

    /// The lines that `bytes` complete, without their ends.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|it| *it == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") || self.partial.len() >= Lines::MOST {
                lines.extend(self.rest());
            }
        }
        lines
    }

    /// What came after the last line's end, if anything.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        let mut line = std::mem::take(&mut self.partial);
        if line.is_empty() {
            return None;
        }
        if line.ends_with(b"\n") {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        Some(line)
    }
}

/// The line without anything that moves a cursor, changes a colour or reorders text. Of a line that
/// was written over (`10%\r20%`) the last writing is kept.
pub(super) fn harmless(line: &[u8]) -> String {
    let last = line.rsplit(|it| *it == b'\r').find(|it| !it.is_empty()).unwrap_or_default();
    let text = String::from_utf8_lossy(last);
    let mut clean = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => skip_escape(&mut letters),
            '\t' => clean.push_str("    "),
            it if it.is_control() || is_reordering(it) => {}
            it => clean.push(it),
        }
    }
    clean
}

/// Skips what belongs to an escape: `[..letter`, `]..BEL`, `]..ESC \`, or one letter.
fn skip_escape(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match letters.next() {
        Some('[') => while letters.next().is_some_and(|it| !('@'..='~').contains(&it)) {},
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(letter) = letters.next() {
                match letter {
                    '\u{7}' => return,
                    '\u{1b}' if letters.next_if_eq(&'\\').is_some() => return,
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Marks that make text read other than it is written.
fn is_reordering(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Seconds since a step began, as BuildKit writes them before a line.
pub(super) fn stamp(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let digits = match seconds {
        it if it < 10.0 => 3,
        it if it < 100.0 => 2,
        _ => 1,
    };
    format!("{seconds:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::{Lines, harmless, stamp};
    use std::time::Duration;

    #[test]
    fn lines_across_writes() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"a\nb"), [b"a".to_vec()]);
        assert_eq!(lines.push(b"c\r\n\n"), [b"bc".to_vec(), b"".to_vec()]);
        assert_eq!(lines.rest(), None);
        assert!(lines.push(b"end").is_empty());
        assert_eq!(lines.rest(), Some(b"end".to_vec()));
        assert_eq!(lines.push(&[b'x'; 200_000]).len(), 1);
    }

    #[test]
    fn escapes_are_taken_out() {
        for (line, want) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("10%\r20%\r", "20%"),
            ("a\tb\u{8}\u{9b}c", "a    bc"),
            ("\u{202e}evil", "evil"),
            ("\u{1b}[2J\u{1b}[1;1H", ""),
            ("\u{1b}", ""),
            ("grüße", "grüße"),
        ] {
            assert_eq!(harmless(line.as_bytes()), want, "{line:?}");
        }
        assert_eq!(harmless(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn stamps() {
        let text = |millis| stamp(Duration::from_millis(millis));
        assert_eq!([text(123), text(12_345), text(123_456)], ["0.123", "12.35", "123.5"]);
    }
}
