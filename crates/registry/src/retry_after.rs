//! `Retry-After`: seconds, or a date, which is compared with the answer's own. RFC 9110, sections 10.2.3, 5.6.7.

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use std::time::Duration;

/// How long the server asks to be left alone.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let wish = text(RETRY_AFTER)?;
    if let Ok(seconds) = wish.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // Without the server's own date it cannot be told how far away the other one is.
    let (then, now) = (seconds(wish)?, seconds(text(DATE)?)?);
    Some(Duration::from_secs(u64::try_from(then - now).unwrap_or_default()))
}

/// Seconds since the year 0 of `Sun, 06 Nov 1994 08:49:37 GMT`, the form that servers must write.
fn seconds(date: &str) -> Option<i64> {
    let words: Vec<&str> = date.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i64::try_from(months.iter().position(|it| it == month)?).ok()?;
    let number = |text: &str, most: i64| {
        let read = text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse::<i64>().ok());
        read.flatten().filter(|it| *it <= most)
    };
    let clock: Vec<i64> = time.split(':').map(|it| number(it, 60)).collect::<Option<_>>()?;
    let [hours, minutes, rest] = clock.as_slice() else { return None };
    Some(
        days(number(year, 9999)?, month, number(day, 31)?) * 86_400
            + hours * 3600
            + minutes * 60
            + rest,
    )
}

/// Days up to a day, with months from 0; years begin in March here, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap + (153 * month + 2) / 5 + day
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
