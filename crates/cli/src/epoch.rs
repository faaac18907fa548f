//! SOURCE_DATE_EPOCH: the time that images and exported files give instead of the clock's.
//!
//! <https://docs.docker.com/build/building/variables/#source_date_epoch>

use crate::failure::Failure;

/// The name of the variable, build argument and global ARG.
pub(crate) const NAME: &str = "SOURCE_DATE_EPOCH";

/// When the files of something were last changed. `None`: there is nothing of that name; no time:
/// what has this name has none, as a folder.
pub(crate) type TimeOf<'a> = &'a dyn Fn(&str) -> Result<Option<Option<i64>>, Failure>;

/// The time of a value: seconds since 1970, or the name of what gives it (`context`, a named context,
/// a stage).
pub(crate) fn resolve(text: &str, time_of: TimeOf<'_>) -> Result<Option<u32>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        Failure::usage(format!("{NAME}={text} is not a number of seconds since 1970"))
            .hint("give e.g. $(git log -1 --format=%ct)")
    };
    if let Ok(seconds) = text.parse::<i64>() {
        return u32::try_from(seconds).map(Some).map_err(|_| wrong());
    }
    match time_of(text)? {
        Some(None) => Ok(None),
        Some(Some(seconds)) => u32::try_from(seconds).map(Some).map_err(|_| wrong()),
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn numbers_and_names() {
        let time_of = |name: &str| {
            Ok(match name {
                "context" => Some(None),
                "source" => Some(Some(7)),
                _ => None,
            })
        };
        let read = |text: &str| resolve(text, &time_of);
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("0").unwrap(), Some(0));
        assert_eq!(read("1700000000").unwrap(), Some(1_700_000_000));
        assert_eq!(read("context").unwrap(), None);
        assert_eq!(read("source").unwrap(), Some(7));
        for wrong in ["-1", "99999999999", "yesterday", "1.5"] {
            assert!(read(wrong).unwrap_err().message.contains(wrong));
        }
    }
}
