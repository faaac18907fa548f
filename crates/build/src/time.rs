//! Times in histories, as BuildKit gives them.

use strake_oci::History;

/// `seconds` since 1970 as RFC 3339 in UTC. Civil-from-days after Howard Hinnant's public algorithm.
pub fn rfc3339(seconds: i64) -> String {
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Gives each entry without a time one: a layer's entry the layer's, another the first new layer's
/// after it or the last one's before it. Returns the image's time.
///
/// `layers` are the layers' own times; base layers have none, for their entries carry theirs.
pub(crate) fn fill_history(history: &mut [History], layers: &[Option<String>]) -> Option<String> {
    let mut layers = layers.iter();
    for entry in history.iter_mut().filter(|it| !it.empty_layer) {
        let own = layers.next().cloned().flatten();
        if entry.created.is_none() {
            entry.created = own;
        }
    }
    let mut created: Option<String> = None;
    let mut gap = false;
    for entry in history.iter() {
        match &entry.created {
            Some(time) => {
                created = Some(time.clone());
                if gap {
                    break;
                }
            }
            None => gap = true,
        }
    }
    let mut gap = false;
    for entry in history.iter_mut() {
        match &entry.created {
            Some(time) if gap => created = Some(time.clone()),
            Some(_) => (),
            None => {
                gap = true;
                entry.created.clone_from(&created);
            }
        }
    }
    history.last().and_then(|it| it.created.clone())
}

#[cfg(test)]
mod tests {
    use super::{fill_history, rfc3339};
    use strake_oci::History;

    #[test]
    fn seconds_to_text() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_219_199, "2026-11-20T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), want);
        }
    }

    #[test]
    fn metadata_takes_the_next_new_layers_time() {
        let entry = |created: Option<&str>, empty_layer| History {
            created: created.map(str::to_owned),
            empty_layer,
            ..History::default()
        };
        let mut history =
            [entry(Some("base"), false), entry(None, true), entry(None, false), entry(None, true)];
        let last = fill_history(&mut history, &[None, Some("new".to_owned())]);
        let times: Vec<_> = history.iter().map(|it| it.created.as_deref().unwrap()).collect();
        assert_eq!(times, ["base", "new", "new", "new"]);
        assert_eq!(last.as_deref(), Some("new"));
    }
}
