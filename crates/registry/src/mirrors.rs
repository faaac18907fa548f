//! Other places to read images from: mirrors before the registry, and names that stand for others.

use crate::{Error, Retry, client::Inner};
use std::time::Duration;
use strake_oci::Reference;

/// Where images below a prefix are read from. What is pushed goes where its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// A registry, or a registry and the beginning of repositories: `docker.io`, `docker.io/library`.
    pub prefix: String,
    /// What takes the prefix's place, in order.
    pub places: Vec<String>,
    /// Whether the name itself is asked when no place has the image.
    pub falls_back: bool,
}

impl Inner {
    /// Does `work` at each place that may have what `reference` names, until one has it.
    ///
    /// A place that is down or does not have it is passed over; the last one's error counts, and tells of
    /// the others where it is about something that they were to prevent.
    pub(crate) async fn at_places<T>(
        &self,
        reference: &Reference,
        mut work: impl AsyncFnMut(&Reference) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let places = places(&self.options.mirrors, reference);
        let (last, first) = places.split_last().expect("there is always a place");
        let mut passed = Vec::new();
        for place in first {
            match work(place).await {
                Err(
                    error @ (Error::Cancelled
                    | Error::Write { .. }
                    | Error::Read { .. }
                    | Error::Stopped { .. }),
                ) => return Err(error),
                Err(error) => {
                    self.passed_over(place, &error);
                    passed.push(error.to_string());
                }
                done => return done,
            }
        }
        work(last).await.map_err(|error| with_passed(error, &passed))
    }

    fn passed_over(&self, place: &Reference, error: &Error) {
        if let Some(tell) = &self.options.on_retry {
            let cause = format!("{place} is passed over: {error}");
            tell(&Retry { attempt: 1, wait: Duration::ZERO, cause });
        }
    }
}

/// An error of the registry itself, and why its mirrors were no help.
fn with_passed(mut error: Error, passed: &[String]) -> Error {
    if passed.is_empty() {
        return error;
    }
    let told = format!(" (its mirror: {})", passed.join("; "));
    if let Error::Unreachable { cause, .. } = &mut error {
        cause.push_str(&told);
    } else if let Error::UnexpectedStatus { message, .. } = &mut error {
        message.get_or_insert_default().push_str(&told);
    }
    error
}

/// The places for `reference`, by the longest prefix that it lies under.
fn places(mirrors: &[Mirror], reference: &Reference) -> Vec<Reference> {
    let name = format!("{}/{}", reference.registry, reference.repository);
    let rest = |mirror: &Mirror| {
        let rest = name.strip_prefix(mirror.prefix.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    let longest = mirrors
        .iter()
        .filter_map(|it| Some((it, rest(it)?)))
        .max_by_key(|(mirror, _)| mirror.prefix.len());
    let Some((mirror, rest)) = longest else { return vec![reference.clone()] };
    let moved = |place: &String| {
        let text = format!("{}{rest}", place.trim_end_matches('/'));
        let (registry, repository) = text.split_once('/')?;
        let (registry, repository) = (registry.to_owned(), repository.to_owned());
        Some(Reference { registry, repository, ..reference.clone() })
    };
    let mut places: Vec<Reference> = mirror.places.iter().filter_map(moved).collect();
    if mirror.falls_back || places.is_empty() {
        places.push(reference.clone());
    }
    places
}

#[cfg(test)]
mod tests {
    use super::{Mirror, places};

    #[test]
    fn by_the_longest_prefix() {
        let mirror = |prefix: &str, places: &[&str], falls_back| Mirror {
            prefix: prefix.to_owned(),
            places: places.iter().map(|it| (*it).to_owned()).collect(),
            falls_back,
        };
        let mirrors = [
            mirror("docker.io", &["m.io", "n.io:5000/hub"], true),
            mirror("docker.io/library", &["corp.io/base/"], false),
            mirror("r.io/a", &["s.io/b"], true),
        ];
        for (name, want) in [
            ("node:20", &["corp.io/base/node:20"][..]),
            ("ann/app:1", &["m.io/ann/app:1", "n.io:5000/hub/ann/app:1", "docker.io/ann/app:1"]),
            ("r.io/a/x:1", &["s.io/b/x:1", "r.io/a/x:1"]),
            ("r.io/ab/x:1", &["r.io/ab/x:1"]),
            ("x.io/a:1", &["x.io/a:1"]),
        ] {
            let got: Vec<String> =
                places(&mirrors, &name.parse().unwrap()).iter().map(ToString::to_string).collect();
            assert_eq!(got, want, "{name}");
        }
    }
}
