//! The arguments of an instruction as words, before they mean anything.

use crate::lex::{
    Text, Word, WrittenFlag, exec_form, head, leading_flags, quoted_words, split_spaces,
};

/// How the arguments of an instruction are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// A command for the SHELL, or one value: all that is written, spaces included.
    Line(Word),
    /// A JSON array; each word has the place of the whole array.
    Exec(Vec<Word>),
    /// Words parted by white space.
    Words(Vec<Word>),
    /// `name=value ..`, quotes kept; an ARG may be a name alone.
    Pairs(Vec<Word>),
    /// `name value with spaces` of ENV and LABEL.
    OldPair {
        /// The name.
        name: Word,
        /// All behind it.
        value: Word,
    },
    /// An instruction behind ONBUILD, or the command behind HEALTHCHECK CMD.
    Nested {
        /// As written.
        keyword: Word,
        /// Flags as written.
        flags: Vec<WrittenFlag>,
        /// The rest.
        arguments: Box<Arguments>,
    },
}

impl Arguments {
    /// Splits `text`, which stands behind the flags of `keyword`.
    pub(crate) fn read(keyword: &str, text: &Text, escape: char) -> Arguments {
        let line = || Arguments::Line(Word { text: text.text.clone(), span: text.whole() });
        match keyword.to_ascii_uppercase().as_str() {
            "RUN" | "CMD" | "ENTRYPOINT" | "SHELL" => exec(text).unwrap_or_else(line),
            "ADD" | "COPY" | "VOLUME" => {
                exec(text).unwrap_or_else(|| Arguments::Words(split_spaces(text)))
            }
            "FROM" | "EXPOSE" => Arguments::Words(split_spaces(text)),
            "ARG" => Arguments::Pairs(quoted_words(text, escape)),
            "ENV" | "LABEL" => pairs(text, escape),
            "ONBUILD" if !text.text.is_empty() => {
                let (keyword, rest) = head(text);
                let (flags, rest) = leading_flags(&rest);
                let arguments = Arguments::read_once(&keyword.text, &rest, escape);
                Arguments::Nested { keyword, flags, arguments: Box::new(arguments) }
            }
            "HEALTHCHECK" if !text.text.is_empty() => {
                let (keyword, rest) = head(text);
                let arguments = Box::new(Arguments::read("CMD", &rest, escape));
                Arguments::Nested { keyword, flags: Vec::new(), arguments }
            }
            _ => line(),
        }
    }

    /// As [`Arguments::read`], with the rest of `ONBUILD ONBUILD ..` as one line.
    fn read_once(keyword: &str, text: &Text, escape: char) -> Arguments {
        let keyword = if keyword.eq_ignore_ascii_case("ONBUILD") { "" } else { keyword };
        Arguments::read(keyword, text, escape)
    }
}

fn exec(text: &Text) -> Option<Arguments> {
    let span = text.whole();
    let words = exec_form(&text.text).ok()?;
    Some(Arguments::Exec(words.into_iter().map(|text| Word { text, span }).collect()))
}

fn pairs(text: &Text, escape: char) -> Arguments {
    let words = quoted_words(text, escape);
    let old = words.first().is_some_and(|it| !it.text.contains('='));
    match head(text) {
        (name, rest) if old && !rest.text.is_empty() => {
            let value = Word { span: rest.whole(), text: rest.text };
            Arguments::OldPair { name, value }
        }
        _ => Arguments::Pairs(words),
    }
}
