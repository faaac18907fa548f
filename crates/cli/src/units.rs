//! Sizes and ages as people write them.

/// `64m`, `10g`, `1.5GiB`, `4096`: bytes, powers of 1024 as Docker reads them.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let unit = &lower[digits.len()..];
    let factor: u64 = match unit {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(format!("`{text}` is not a size: write e.g. 512m or 10g")),
    };
    let number: f64 =
        digits.parse().map_err(|_| format!("`{text}` is not a size: write e.g. 512m or 10g"))?;
    if !number.is_finite() || number < 0.0 {
        return Err(format!("`{text}` is not a size: write e.g. 512m or 10g"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    #[expect(clippy::cast_precision_loss, reason = "sizes as people write them")]
    Ok((number * factor as f64) as u64)
}

/// `30m`, `72h`, `7d`: seconds.
pub(crate) fn age(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not an age: write e.g. 30m, 72h or 7d");
    let text = text.trim();
    let digits = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    digits.parse::<u64>().ok().and_then(|it| it.checked_mul(factor)).ok_or_else(wrong)
}

/// Bytes for people: `1.5 MB`.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn people(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::{age, people, size};

    #[test]
    fn read_and_written() {
        assert_eq!(size("64m"), Ok(64 << 20));
        assert_eq!(size("1.5GiB"), Ok(3 << 29));
        assert_eq!(size("10"), Ok(10));
        assert!(size("x").is_err() && size("-1m").is_err() && size("1q").is_err());
        assert_eq!(age("2h"), Ok(7200));
        assert!(age("2").is_err() && age("h").is_err());
        assert_eq!(people(1_500_000), "1.5 MB");
        assert_eq!(people(12), "12 B");
    }
}
