//! Which manifest of an index is for a platform, as containerd has it.

use strake_oci::{Descriptor, Index, Platform};

/// The manifest for `wanted`, or the platforms that there are.
pub fn select<'a>(index: &'a Index, wanted: &Platform) -> Result<&'a Descriptor, Vec<Platform>> {
    let runnable = runnable(wanted);
    let images = || index.manifests.iter().filter(|it| !is_attestation(it));
    let ranked = images().filter_map(|it| {
        let platform = it.platform.as_ref()?;
        Some((runnable.iter().position(|other| platform.satisfies(other))?, it))
    });
    // Equal ranks: the first in the index.
    if let Some((_, best)) = ranked.min_by_key(|(rank, _)| *rank) {
        return Ok(best);
    }
    let mut unmarked = images().filter(|it| it.platform.is_none());
    if let (Some(only), None) = (unmarked.next(), unmarked.next()) {
        return Ok(only);
    }
    let mut available: Vec<Platform> = images().filter_map(|it| it.platform.clone()).collect();
    available.sort();
    available.dedup();
    Err(available)
}

/// BuildKit's attestations stand in the index beside the images that they are about.
pub(crate) fn is_attestation(descriptor: &Descriptor) -> bool {
    let kind = descriptor.annotations.get("vnd.docker.reference.type").map(String::as_str);
    let unknown = descriptor
        .platform
        .as_ref()
        .is_some_and(|it| it.os == "unknown" && it.architecture == "unknown");
    kind == Some("attestation-manifest") || unknown
}

/// What `wanted` can run, best first: older variants, and the 32-bit sibling.
fn runnable(wanted: &Platform) -> Vec<Platform> {
    let with = |architecture: &str, variant: Option<String>| Platform {
        architecture: architecture.to_owned(),
        os: wanted.os.clone(),
        os_version: None,
        variant,
    };
    let number = |default| {
        let digits = wanted.variant.as_deref().unwrap_or_default().trim_start_matches('v');
        digits.split('.').next().and_then(|it| it.parse::<u32>().ok()).unwrap_or(default)
    };
    let down = |architecture: &str, from: u32, to: u32| -> Vec<Platform> {
        (to..=from).rev().map(|it| with(architecture, Some(format!("v{it}")))).collect()
    };
    let mut all = vec![wanted.clone()];
    match wanted.architecture.as_str() {
        "amd64" => {
            all.extend(down("amd64", number(1).min(9), 1));
            all.push(with("386", None));
        }
        "arm64" => {
            all.extend(down("arm64", number(8).min(9), 8));
            all.extend(down("arm", 8, 5));
        }
        "arm" => all.extend(down("arm", number(7).min(8), 5)),
        _ => {}
    }
    all
}

#[cfg(test)]
mod tests {
    use super::select;
    use strake_oci::{Descriptor, Digest, Index, Platform, media_type};

    fn index(platforms: &[Option<&str>]) -> Index {
        let entry = |(at, platform): (usize, &Option<&str>)| {
            let digest = Digest::of(&[u8::try_from(at).unwrap()]);
            let mut entry = Descriptor::new(media_type::OCI_MANIFEST, digest, 1);
            entry.platform = platform.map(|it| it.parse().unwrap());
            entry
        };
        Index {
            schema_version: 2,
            media_type: None,
            manifests: platforms.iter().enumerate().map(entry).collect(),
            annotations: Default::default(),
        }
    }

    #[test]
    fn best_for_the_platform() {
        for (has, wanted, want) in [
            (vec!["linux/arm64", "linux/amd64"], "linux/amd64", Some(1)),
            (vec!["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", Some(1)),
            (vec!["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", Some(1)),
            (vec!["linux/arm/v7"], "linux/arm/v6", None),
            (vec!["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v3", Some(1)),
            (vec!["linux/amd64/v2"], "linux/amd64", None),
            (vec!["linux/arm64/v8"], "linux/arm64", Some(0)),
            (vec!["linux/arm/v7"], "linux/arm64", Some(0)),
            (vec!["linux/386"], "linux/amd64", Some(0)),
            (vec!["windows/amd64", "unknown/unknown"], "linux/amd64", None),
            (vec!["linux/s390x"], "linux/s390x", Some(0)),
        ] {
            let index = index(&has.iter().map(|it| Some(*it)).collect::<Vec<_>>());
            let wanted: Platform = wanted.parse().unwrap();
            let got = select(&index, &wanted).ok();
            assert_eq!(got, want.map(|it: usize| &index.manifests[it]), "{has:?} {wanted}");
        }
    }

    #[test]
    fn an_unmarked_image_is_taken_when_it_is_alone() {
        let amd64: Platform = "linux/amd64".parse().unwrap();
        assert!(select(&index(&[None]), &amd64).is_ok());
        assert!(select(&index(&[None, Some("unknown/unknown")]), &amd64).is_ok());
        assert!(select(&index(&[None, None]), &amd64).is_err());
        let other = index(&[Some("linux/arm64"), Some("unknown/unknown")]);
        let available = select(&other, &amd64);
        assert_eq!(available.unwrap_err(), ["linux/arm64".parse().unwrap()]);
    }
}
