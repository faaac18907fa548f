//! The history of an image, as BuildKit's exporter leaves it: an entry that made a layer for each
//! layer, and a time on each.

use strake_oci::History;

/// Makes as many entries with a layer as there are layers, whatever a base's config says. `made_by`:
/// what made each layer.
pub(crate) fn count_layers(history: &mut Vec<History>, made_by: Vec<String>) {
    let mut layers = made_by.into_iter();
    for entry in history.iter_mut().filter(|it| !it.empty_layer) {
        entry.empty_layer = layers.next().is_none();
    }
    history.extend(layers.map(|made_by| History {
        created_by: Some(made_by),
        comment: Some("buildkit.exporter.image.v0".to_owned()),
        ..History::default()
    }));
}

/// Gives each entry without a time one: a layer's entry the layer's, another the first new layer's
/// after it or the last one's before it. Returns the image's time.
///
/// `layers` are the layers' own times; base layers have none, for their entries carry theirs.
pub(crate) fn fill_times(history: &mut [History], layers: &[Option<String>]) -> Option<String> {
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
    use super::{count_layers, fill_times};
    use strake_oci::History;

    #[test]
    fn as_many_entries_as_layers() {
        let entry = |empty_layer| History { empty_layer, ..History::default() };
        let counted = |flags: &[bool], layers: &[&str]| {
            let mut history: Vec<_> = flags.iter().map(|it| entry(*it)).collect();
            count_layers(&mut history, layers.iter().map(|it| (*it).to_owned()).collect());
            let shown = |it: &History| match &it.created_by {
                Some(text) => text.clone(),
                None => it.empty_layer.to_string(),
            };
            history.iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(counted(&[true, false], &["a"]), ["true", "false"]);
        assert_eq!(counted(&[false, true, false], &["a"]), ["false", "true", "true"]);
        assert_eq!(counted(&[true, false], &["a", "b", "c"]), ["true", "false", "b", "c"]);
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
        let last = fill_times(&mut history, &[None, Some("new".to_owned())]);
        let times: Vec<_> = history.iter().map(|it| it.created.as_deref().unwrap()).collect();
        assert_eq!(times, ["base", "new", "new", "new"]);
        assert_eq!(last.as_deref(), Some("new"));
    }
}
