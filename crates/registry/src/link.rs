//! `Link: <..>; rel="next"`, by which lists go on. RFC 8288, section 3.

use reqwest::{Url, header::HeaderMap};

/// Where the list that came from `from` goes on, if it does.
///
/// Only within the same origin: a list that goes on elsewhere is not believed.
pub(crate) fn next(headers: &HeaderMap, from: &Url) -> Option<Url> {
    let lines = headers.get_all("link").iter().filter_map(|it| it.to_str().ok());
    let target = lines.flat_map(targets).find(|it| it.is_next)?.target;
    from.join(&target).ok().filter(|it| it.origin() == from.origin() && it != from)
}

/// One element of a Link header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// What stands between `<` and `>`.
    pub(crate) target: String,
    /// Whether `next` is among its relations.
    pub(crate) is_next: bool,
}

/// Reads one header. What does not follow the grammar ends it.
pub(crate) fn targets(text: &str) -> Vec<Target> {
    let mut all = Vec::new();
    // 8 KiB is more than any honest header has.
    let mut rest: &str = text.get(..8 << 10).unwrap_or(text);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some(opened) = rest.strip_prefix('<') else { return all };
        let Some((target, after)) = opened.split_once('>') else { return all };
        let (is_next, after) = parameters(after);
        all.push(Target { target: target.to_owned(), is_next });
        rest = after;
    }
}

/// Reads `; name=value; name="value"`. Returns whether `rel` has `next`, and what follows.
fn parameters(text: &str) -> (bool, &str) {
    let (mut is_next, mut seen, mut rest) = (false, false, text);
    loop {
        let Some(after) = rest.trim_start_matches([' ', '\t']).strip_prefix(';') else {
            return (is_next, rest.trim_start_matches([' ', '\t']));
        };
        let after = after.trim_start_matches([' ', '\t']);
        let end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let name = after[..end].trim();
        let (value, after) = match after[end..].strip_prefix('=') {
            Some(value) => value_of(value.trim_start_matches([' ', '\t'])),
            None => (String::new(), &after[end..]),
        };
        // Only the first `rel` counts.
        if name.eq_ignore_ascii_case("rel") && !seen {
            seen = true;
            is_next = value.split_ascii_whitespace().any(|it| it.eq_ignore_ascii_case("next"));
        }
        rest = after;
    }
}

/// A quoted or bare value, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => value.extend(letters.next()),
            letter => value.push(letter),
        }
    }
    (value, letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::{next, targets};
    use reqwest::{Url, header::HeaderMap};

    fn follow(link: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("link", link.parse().unwrap());
        let from = Url::parse("https://r.io/v2/a/referrers/x").unwrap();
        next(&headers, &from).map(String::from)
    }

    #[test]
    fn what_registries_send() {
        let page = Some("https://r.io/v2/a/referrers/x?n=2&last=b".to_owned());
        for link in [
            r#"</v2/a/referrers/x?n=2&last=b>; rel="next""#,
            "</v2/a/referrers/x?n=2&last=b>;rel=next",
            r#"<?n=2&last=b>; title="a, \"b\" <c>"; rel="start NEXT""#,
            r#"</first>; rel="first", <https://r.io/v2/a/referrers/x?n=2&last=b> ; Rel = next"#,
        ] {
            assert_eq!(follow(link), page, "{link}");
        }
    }

    #[test]
    fn what_is_not_followed() {
        for link in [
            "",
            "<",
            "</a",
            "</a>",
            "</a>; rel=prev",
            r#"</a>; rel=prev; rel="next""#,
            r#"</a>; title="; rel=next"#,
            r#"<https://elsewhere.io/a>; rel="next""#,
            r#"<http://r.io/a>; rel="next""#,
            r#"<https://r.io/v2/a/referrers/x>; rel="next""#,
            "/a; rel=next",
        ] {
            assert_eq!(follow(link), None, "{link}");
        }
    }

    #[test]
    fn endless_headers_end() {
        let text = "<a>; rel=x, ".repeat(10_000);
        assert!(targets(&text).len() < 1000);
    }
}
