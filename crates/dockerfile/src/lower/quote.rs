//! Go's `%q`, for history.

use std::fmt::Write as _;

/// `["a" "b"]`.
pub(crate) fn quoted_list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|it| quoted(it)).collect();
    format!("[{}]", words.join(" "))
}

/// A number as a character: `'\x03'`.
pub(crate) fn quoted_rune(number: i64) -> String {
    let it = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let mut text = String::new();
    push(&mut text, it, '\'');
    format!("'{text}'")
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    text.chars().for_each(|it| push(&mut out, it, '"'));
    format!("\"{out}\"")
}

fn push(out: &mut String, it: char, quote: char) {
    let short = match it {
        '\u{7}' => Some('a'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{b}' => Some('v'),
        '\\' => Some('\\'),
        _ if it == quote => Some(quote),
        _ => None,
    };
    match short {
        Some(short) => out.extend(['\\', short]),
        None if (it as u32) < 0x20 || it as u32 == 0x7f => {
            let _ = write!(out, "\\x{:02x}", it as u32);
        }
        None if it.is_control() || it.is_whitespace() && it != ' ' => {
            let _ = write!(out, "\\u{:04x}", it as u32);
        }
        None => out.push(it),
    }
}

#[cfg(test)]
mod tests {
    use super::{quoted_list, quoted_rune};

    #[test]
    fn as_go_quotes() {
        let words = ["a\"b", "\\", "\t\u{1}é", "'"].map(str::to_owned);
        assert_eq!(quoted_list(&words), r#"["a\"b" "\\" "\t\x01é" "'"]"#);
        assert_eq!(quoted_list(&[]), "[]");
        for (number, want) in
            [(0, r"'\x00'"), (3, r"'\x03'"), (10, r"'\n'"), (39, r"'\''"), (65, "'A'")]
        {
            assert_eq!(quoted_rune(number), want);
        }
    }
}
