//! One line of comma-separated values, RFC 4180: a field in double quotes may hold commas, and
//! doubled quotes.

/// The fields of `text`, or what is wrong with it.
pub(super) fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => self::quoted(quoted)?,
            None => plain(rest)?,
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// A field and what follows its comma, if there is one.
type Field<'a> = (String, Option<&'a str>);

fn plain(text: &str) -> Result<Field<'_>, String> {
    let (field, after) = match text.split_once(',') {
        Some((field, after)) => (field, Some(after)),
        None => (text, None),
    };
    if field.contains('"') {
        return Err(format!("a quote inside `{field}`: put the quotes around the whole KEY=VALUE"));
    }
    Ok((field.to_owned(), after))
}

fn quoted(text: &str) -> Result<Field<'_>, String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((part, after)) = rest.split_once('"') else {
            return Err("a quote is not closed".to_owned());
        };
        field.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if after.is_empty() {
            return Ok((field, None));
        } else if let Some(after) = after.strip_prefix(',') {
            return Ok((field, Some(after)));
        } else {
            return Err("text follows a closing quote".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn quotes_and_commas() {
        for (text, want) in [
            ("a", &["a"] as &[_]),
            ("a,b", &["a", "b"]),
            ("a,", &["a", ""]),
            (r#"a,"name=x,y",c"#, &["a", "name=x,y", "c"]),
            (r#""a""b""#, &[r#"a"b"#]),
        ] {
            assert_eq!(fields(text).unwrap(), want, "{text}");
        }
        for text in [r#"""#, r#"a"b"#, r#""a"b"#, r#"name="a,b""#] {
            assert!(fields(text).is_err(), "{text}");
        }
    }
}
