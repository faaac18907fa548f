//! `Retry-After`: seconds, or a date, which is compared with the answer's own. RFC 9110, sections 10.2.3, 5.6.7.

use crate::date::http_date;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use std::time::Duration;

/// How long the server asks to be left alone.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let wish = text(RETRY_AFTER)?;
    if let Ok(seconds) = wish.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // Without the server's own date it cannot be told how far away the other one is.
    let (then, now) = (seconds(wish)?, seconds(text(DATE)?)?);
    Some(Duration::from_secs(u64::try_from(then - now).unwrap_or_default()))
}

/// Of the one form that servers must write: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds(date: &str) -> Option<i64> {
    let is_usual = date.ends_with(" GMT") && !date.contains(['-', '+']);
    http_date(date).filter(|_| is_usual)
}

#[cfg(test)]
mod tests {
    use super::retry_after;
    use reqwest::header::HeaderMap;

    fn waits(wish: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", wish.parse().unwrap());
        if let Some(date) = date {
            headers.insert("date", date.parse().unwrap());
        }
        retry_after(&headers).map(|it| it.as_secs())
    }

    #[test]
    fn seconds_and_dates() {
        let now = Some("Sat, 29 Feb 2020 23:59:50 GMT");
        for (wish, date, want) in [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("Sun, 01 Mar 2020 00:00:20 GMT", now, Some(30)),
            ("Sat, 29 Feb 2020 23:59:51 GMT", now, Some(1)),
            ("Mon, 01 Mar 2021 23:59:50 GMT", now, Some(366 * 86_400)),
            ("Sat, 29 Feb 2020 20:00:00 GMT", now, Some(0)),
            ("Sun, 01 Mar 2020 00:00:20 GMT", None, None),
            ("Sun, 01 Mar 2020 00:00:20 GMT", Some("now"), None),
        ] {
            assert_eq!(waits(wish, date), want, "{wish}");
        }
    }

    #[test]
    fn what_is_no_wait() {
        let now = Some("Sat, 29 Feb 2020 23:59:50 GMT");
        for wish in [
            "",
            "soon",
            "-1",
            "1.5",
            "99999999999999999999999",
            "Sun, 01 Mar 2020 00:00 GMT",
            "Sun, 01 Mrz 2020 00:00:20 GMT",
            "Sun, -1 Mar 2020 00:00:20 GMT",
            "Sun, 01 Mar 99999999999999999999 00:00:20 GMT",
            "Sun, 01 Mar 2020 00:00:20 CET",
        ] {
            assert_eq!(waits(wish, now), None, "{wish}");
        }
    }
}
