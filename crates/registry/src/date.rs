//! Times in HTTP headers ([RFC 9110, 5.6.7](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7)).

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of an HTTP date, in today's form or one of the two obsolete ones.
pub fn http_date(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT; Sunday, 06-Nov-94 08:49:37 GMT
        [_, day, month, year, time, "GMT" | "UTC"] => at(year, month, day, time),
        // Sun Nov  6 08:49:37 1994
        [_, month, day, time, year] => at(year, month, day, time),
        _ => None,
    }
}

fn at(year: &str, month: &str, day: &str, time: &str) -> Option<i64> {
    let year = match (year.len(), year.parse::<i64>().ok()?) {
        (4, year) => year,
        (2, year) if year < 69 => 2000 + year,
        (2, year) => 1900 + year,
        _ => return None,
    };
    let month = MONTHS.iter().position(|it| *it == month)?;
    let day: i64 = day.parse().ok().filter(|it| (1..=31).contains(it))?;
    let mut parts = time.split(':').map(|it| it.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let sound = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..61).contains(&second);
    (sound && parts.next().is_none())
        .then(|| (days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second)
}

/// Days from 1970 to a date of the Gregorian calendar; `month` counts from 0.
fn days(year: i64, month: usize, day: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    // Leap days up to the end of February of the year.
    let counted = if month > 1 { year } else { year - 1 };
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    (year - 1970) * 365 + leaps(counted) - leaps(1969) + BEFORE[month] + day - 1
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn all_three_forms_are_one_time() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_date(text), Some(784_111_777), "{text}");
        }
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        assert_eq!(http_date("Fri, 01 Mar 2024 00:00:00 GMT"), Some(1_709_251_200));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in
            ["", "0", "yesterday", "Sun, 06 Nov 1994 25:00:00 GMT", "Sun, 06 Foo 1994 1:2:3 GMT"]
        {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
