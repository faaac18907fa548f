//! `--platform`: for what the image is built.

use crate::{environment, failure::Failure};
use strake_oci::Platform;

/// The platforms of `--platform`, else of the environment, else this machine's; and whether they
/// were asked for.
pub(crate) fn of_flag(written: &[String]) -> Result<(Vec<Platform>, bool), Failure> {
    let default = environment::text(environment::DOCKER_DEFAULT_PLATFORM);
    let written = match default {
        Some(default) if written.is_empty() => vec![default],
        _ => written.to_vec(),
    };
    Ok((platforms(&written)?, !written.is_empty()))
}

/// The platforms, each once, in the order in which they are given. This machine's by default.
fn platforms(written: &[String]) -> Result<Vec<Platform>, Failure> {
    let mut platforms: Vec<Platform> = Vec::new();
    for text in written.iter().flat_map(|it| it.split(',')).map(str::trim) {
        let platform = match text {
            "local" => Platform::host(),
            text => text.parse().map_err(Failure::usage)?,
        };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    if platforms.is_empty() {
        platforms.push(Platform::host());
    }
    Ok(platforms)
}

#[cfg(test)]
mod tests {
    use super::platforms;
    use strake_oci::Platform;

    #[test]
    fn lists_and_repetitions() {
        let read = |written: &[&str]| -> Vec<String> {
            let written: Vec<_> = written.iter().map(|it| (*it).to_owned()).collect();
            platforms(&written).unwrap().iter().map(ToString::to_string).collect()
        };
        let host = Platform::host().to_string();
        assert_eq!(read(&[]), [host.as_str()]);
        assert_eq!(read(&["local"]), [host.as_str()]);
        assert_eq!(
            read(&["linux/s390x, linux/arm64/v8", "linux/arm64", "linux/arm"]),
            ["linux/s390x", "linux/arm64", "linux/arm/v7"]
        );
        assert!(platforms(&["pdp11".to_owned()]).is_err());
    }
}
