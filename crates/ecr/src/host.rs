//! Which registries are Amazon's, and where their control plane is.
//!
//! Amazon ECR user guide, *Private registries* and *Amazon ECR endpoints and quotas*; the domains of other
//! partitions are those that Amazon's own credential helper knows.

/// A registry of Amazon ECR, read from its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EcrHost {
    /// `ACCOUNT.dkr.ecr.REGION.amazonaws.com` and its like.
    Private {
        /// Twelve digits.
        account: String,
        /// E.g. `eu-central-1`.
        region: String,
        /// The name's domain, e.g. `amazonaws.com.cn`.
        domain: &'static Domain,
        /// Whether the endpoint is one of validated cryptography.
        fips: bool,
    },
    /// `public.ecr.aws`.
    Public,
}

/// Domains of one partition.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Domain {
    /// What a registry's name ends with.
    registry: &'static str,
    /// What its control plane's name ends with.
    api: &'static str,
    /// Reached over IPv6, too; the names are built in another way.
    dual_stack: bool,
    /// As in ARNs.
    partition: &'static str,
}

const fn domain(
    registry: &'static str,
    api: &'static str,
    dual_stack: bool,
    partition: &'static str,
) -> Domain {
    Domain { registry, api, dual_stack, partition }
}

static DOMAINS: [Domain; 10] = [
    domain("amazonaws.com", "amazonaws.com", false, "aws"),
    domain("amazonaws.com.cn", "amazonaws.com.cn", false, "aws-cn"),
    domain("amazonaws.eu", "amazonaws.eu", false, "aws-eusc"),
    domain("on.aws", "api.aws", true, "aws"),
    domain("on.amazonwebservices.com.cn", "api.amazonwebservices.com.cn", true, "aws-cn"),
    domain("on.amazonwebservices.eu", "api.amazonwebservices.eu", true, "aws-eusc"),
    domain("c2s.ic.gov", "c2s.ic.gov", false, "aws-iso"),
    domain("sc2s.sgov.gov", "sc2s.sgov.gov", false, "aws-iso-b"),
    domain("cloud.adc-e.uk", "cloud.adc-e.uk", false, "aws-iso-e"),
    domain("csp.hci.ic.gov", "csp.hci.ic.gov", false, "aws-iso-f"),
];

/// Reads a registry's name; `None` when it is not Amazon's.
pub fn recognise(registry: &str) -> Option<EcrHost> {
    let name = registry.strip_suffix(":443").unwrap_or(registry).to_ascii_lowercase();
    if name == "public.ecr.aws" || name == "ecr-public.aws.com" {
        return Some(EcrHost::Public);
    }
    let (account, rest) = name.split_once('.')?;
    if account.len() != 12 || !account.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    for domain in &DOMAINS {
        let Some(service) = rest.strip_suffix(domain.registry).and_then(|it| it.strip_suffix('.'))
        else {
            continue;
        };
        let (plain, fips) = match domain.dual_stack {
            true => ("dkr-ecr.", "dkr-ecr-fips."),
            false => ("dkr.ecr.", "dkr.ecr-fips."),
        };
        let fips_region = service.strip_prefix(fips);
        let Some(region) = fips_region.or_else(|| service.strip_prefix(plain)) else { continue };
        if !is_region(region) {
            continue;
        }
        return Some(EcrHost::Private {
            account: account.to_owned(),
            region: region.to_owned(),
            domain,
            fips: fips_region.is_some(),
        });
    }
    None
}

fn is_region(text: &str) -> bool {
    text.contains('-') && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
}

impl EcrHost {
    /// Where requests are signed for.
    pub(crate) fn region(&self) -> &str {
        match self {
            EcrHost::Private { region, .. } => region,
            EcrHost::Public => "us-east-1",
        }
    }

    /// The service's name in signatures.
    pub(crate) fn service(&self) -> &'static str {
        match self {
            EcrHost::Private { .. } => "ecr",
            EcrHost::Public => "ecr-public",
        }
    }

    /// The service's name in settings.
    pub(crate) fn setting(&self) -> &'static str {
        match self {
            EcrHost::Private { .. } => "ecr",
            EcrHost::Public => "ecr public",
        }
    }

    /// What the names of actions start with in requests.
    pub(crate) fn target(&self) -> &'static str {
        match self {
            EcrHost::Private { .. } => "AmazonEC2ContainerRegistry_V20150921",
            EcrHost::Public => "SpencerFrontendService",
        }
    }

    /// The control plane.
    pub(crate) fn endpoint(&self) -> String {
        let EcrHost::Private { region, domain, fips, .. } = self else {
            return "https://api.ecr-public.us-east-1.amazonaws.com/".to_owned();
        };
        let api = domain.api;
        match (domain.dual_stack, fips) {
            (false, false) => format!("https://api.ecr.{region}.{api}/"),
            (false, true) => format!("https://ecr-fips.{region}.{api}/"),
            (true, false) => format!("https://ecr.{region}.{api}/"),
            (true, true) => format!("https://ecr-fips.{region}.{api}/"),
        }
    }

    /// The name of a repository in policies.
    pub(crate) fn arn(&self, repository: &str) -> String {
        match self {
            EcrHost::Private { account, region, domain, .. } => {
                let partition = domain.partition;
                format!("arn:{partition}:ecr:{region}:{account}:repository/{repository}")
            }
            EcrHost::Public => format!("the public repository {repository}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EcrHost, recognise};

    #[test]
    fn names_and_their_control_planes() {
        for (name, endpoint) in [
            ("dkr.ecr.us-east-1.amazonaws.com", "https://api.ecr.us-east-1.amazonaws.com/"),
            ("dkr.ecr.cn-north-1.amazonaws.com.cn", "https://api.ecr.cn-north-1.amazonaws.com.cn/"),
            (
                "dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                "https://ecr-fips.us-gov-west-1.amazonaws.com/",
            ),
            ("dkr-ecr.eu-west-1.on.aws", "https://ecr.eu-west-1.api.aws/"),
            ("dkr-ecr-fips.us-east-2.on.aws", "https://ecr-fips.us-east-2.api.aws/"),
            ("dkr.ecr.us-iso-east-1.c2s.ic.gov", "https://api.ecr.us-iso-east-1.c2s.ic.gov/"),
            ("dkr.ecr.eusc-de-east-1.amazonaws.eu", "https://api.ecr.eusc-de-east-1.amazonaws.eu/"),
        ] {
            let host = recognise(&format!("123456789012.{name}")).unwrap();
            assert_eq!(host.endpoint(), endpoint);
            assert!(matches!(host, EcrHost::Private { account, .. } if account == "123456789012"));
        }
        assert_eq!(recognise("public.ecr.aws"), Some(EcrHost::Public));
        let china = recognise("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn").unwrap();
        assert_eq!(china.arn("a/b"), "arn:aws-cn:ecr:cn-north-1:123456789012:repository/a/b");
    }

    #[test]
    fn other_names_are_not_amazons() {
        for name in [
            "docker.io",
            "amazonaws.com",
            "dkr.ecr.us-east-1.amazonaws.com",
            "12345678901.dkr.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.us-east-1.evilamazonaws.com",
            "123456789012.dkr.ecr.evil.example.amazonaws.com",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com:8443",
            "123456789012.dkr-ecr.us-east-1.amazonaws.com",
            "public.ecr.aws.evil.example",
            "xpublic.ecr.aws",
        ] {
            assert_eq!(recognise(name), None, "{name}");
        }
    }
}
