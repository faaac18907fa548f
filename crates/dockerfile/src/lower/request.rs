//! What a plan needs from outside.

use std::collections::BTreeMap;
use strake_diag::Span;
use strake_oci::Platform;
use strake_plan::{BaseImage, Network};

/// Everything besides the Dockerfile.
#[derive(Clone, Debug)]
pub struct Request {
    /// `--build-arg`, with values from the environment already filled in; one without a value is
    /// as if it were not given.
    pub build_args: Vec<(String, Option<String>)>,
    /// `--target`: the name or number of a stage.
    pub target: Option<String>,
    /// What the image is for.
    pub platform: Platform,
    /// Whether that was asked for. Else an image is for what its base is for.
    pub platform_is_given: bool,
    /// What the build runs on.
    pub build_platform: Platform,
    /// `--build-context`, by name.
    pub named: BTreeMap<String, NamedContext>,
    /// `--label`, on the image that is built.
    pub labels: Vec<(String, String)>,
    /// `--network`, for RUNs that do not say.
    pub network: Network,
    /// What [`crate::missing`] asked for, by [`Wanted::name`] and platform.
    pub images: BTreeMap<(String, Platform), BaseImage>,
}

/// A named context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// A local directory.
    Local,
    /// An image: `docker-image://..` or `oci-layout://..`, as given.
    Image(String),
    /// `docker-image://scratch`.
    Scratch,
}

/// An image that must be known before there is a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// As the Dockerfile writes it, after expansion.
    pub name: String,
    /// The key of [`Request::named`] that stands in its place.
    pub context: Option<String>,
    /// What to resolve: the named context's reference, or the name.
    pub reference: String,
    /// For which platform.
    pub platform: Platform,
    /// Where it is asked for.
    pub span: Span,
    /// A stage of nearly this name.
    pub near_stage: Option<String>,
}

impl Request {
    /// A request without arguments, contexts and images.
    pub fn new(platform: Platform, build_platform: Platform) -> Request {
        Request {
            build_args: Vec::new(),
            target: None,
            platform,
            platform_is_given: false,
            build_platform,
            named: BTreeMap::new(),
            labels: Vec::new(),
            network: Network::Default,
            images: BTreeMap::new(),
        }
    }

    pub(super) fn build_arg(&self, name: &str) -> Option<&str> {
        let given = self.build_args.iter().rev().filter(|(it, _)| it == name);
        given.filter_map(|(_, value)| value.as_deref()).next()
    }

    /// The named context of an image or stage name. References are compared in short form, without
    /// `:latest`; `name::platform` wins.
    pub(super) fn named(&self, name: &str, platform: &Platform) -> Option<(&str, &NamedContext)> {
        if name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context") {
            return None;
        }
        let wanted = short(name);
        let special = format!("{wanted}::{platform}");
        let find = |wanted: &str| self.named.iter().find(|(key, _)| key_of(key) == wanted);
        find(&special).or_else(|| find(&wanted)).map(|(key, context)| (key.as_str(), context))
    }
}

fn key_of(key: &str) -> String {
    match key.split_once("::") {
        Some((name, platform)) => format!("{}::{platform}", short(name)),
        None => short(key),
    }
}

fn short(name: &str) -> String {
    match name.parse::<strake_oci::Reference>() {
        Ok(reference) => {
            let familiar = reference.familiar();
            familiar.strip_suffix(":latest").unwrap_or(&familiar).to_owned()
        }
        Err(_) => name.to_owned(),
    }
}
