//! `RUN --device`: devices of the Container Device Interface.
//!
//! [The specification](https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md);
//! which names mean which devices is BuildKit's rule. What a specification asks for and strake does
//! not do (hooks, network devices, ..) is an error.

mod spec;

use crate::options::{Allow, Devices};
use spec::{Edits, Node, Spec};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use strake_plan::DeviceRequest;
use strake_sandbox::{BindLimits, Mount, MountSource};

/// What the devices of one RUN add to it.
#[derive(Debug, Default)]
pub(crate) struct Added {
    pub(crate) mounts: Vec<Mount>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) groups: Vec<u32>,
    /// Devices that are not there and not required.
    pub(crate) missing: Vec<String>,
}

/// Why a RUN cannot have a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A name that is none.
    #[error("`{name}` is not the name of a device")]
    Name {
        /// As written.
        name: String,
    },
    /// No specification has it.
    #[error("device `{name}` is required and no specification has it")]
    Missing {
        /// As written.
        name: String,
        /// Where specifications were looked for.
        folders: Vec<PathBuf>,
    },
    /// It may not be used.
    #[error("device `{name}` is not allowed")]
    NotAllowed {
        /// Qualified.
        name: String,
    },
    /// A specification cannot be read.
    #[error("CDI specification {}: {why}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The device asks for what is not done.
    #[error("device `{name}` asks for {what}")]
    Unsupported {
        /// Qualified.
        name: String,
        /// What.
        what: String,
    },
}

impl DeviceError {
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            DeviceError::Name { .. } => {
                "write vendor.com/class=name, vendor.com/class=* or vendor.com/class".to_owned()
            }
            DeviceError::Missing { folders, .. } => {
                let folders: Vec<_> = folders.iter().map(|it| it.display().to_string()).collect();
                format!("put its specification into {}", folders.join(" or "))
            }
            DeviceError::NotAllowed { name } => format!("build with --allow device={name}"),
            DeviceError::Spec { .. } => return None,
            DeviceError::Unsupported { .. } => {
                "write a specification without it, in a folder of its own, and give --cdi-dir"
                    .to_owned()
            }
        })
    }
}

/// Finds the devices and what they add.
pub(crate) fn devices(
    requests: &[DeviceRequest],
    folders: &[PathBuf],
    allow: &Allow,
) -> Result<Added, DeviceError> {
    let mut added = Added::default();
    if requests.is_empty() {
        return Ok(added);
    }
    let specs = specs(folders)?;
    let mut used = BTreeSet::new();
    for DeviceRequest { name, required } in requests {
        let found = find(&specs, name)?;
        if found.is_empty() {
            if *required {
                let folders = folders.to_vec();
                return Err(DeviceError::Missing { name: name.clone(), folders });
            }
            added.missing.push(name.clone());
        }
        for device in found {
            check(device, allow)?;
            if !used.insert(device.qualified()) {
                continue;
            }
            for edits in device.edits() {
                apply(edits, &device.qualified(), &mut added)?;
            }
        }
    }
    Ok(added)
}

/// A device and the specification that it is in.
#[derive(Clone, Copy)]
struct Found<'a> {
    spec: &'a Spec,
    device: &'a spec::Device,
}

impl<'a> Found<'a> {
    fn qualified(self) -> String {
        format!("{}={}", self.spec.kind, self.device.name)
    }

    /// Those of the specification hold for each of its devices.
    fn edits(self) -> impl Iterator<Item = &'a Edits> {
        self.spec.container_edits.iter().chain([&self.device.container_edits])
    }

    fn annotation(self, name: &str) -> Option<&'a str> {
        let own = self.device.annotations.get(name);
        own.or_else(|| self.spec.annotations.get(name)).map(String::as_str)
    }
}

/// All specifications; of two with the same device the later one counts.
fn specs(folders: &[PathBuf]) -> Result<Vec<Spec>, DeviceError> {
    let mut specs = Vec::new();
    for folder in folders {
        let Ok(entries) = fs_err::read_dir(folder) else { continue };
        let mut files: Vec<PathBuf> = entries.flatten().map(|it| it.path()).collect();
        files.sort();
        for file in files {
            let extension = file.extension().and_then(|it| it.to_str());
            if matches!(extension, Some("json" | "yaml" | "yml")) {
                specs.push(spec::read(&file)?);
            }
        }
    }
    specs.reverse();
    Ok(specs)
}

fn find<'a>(specs: &'a [Spec], name: &str) -> Result<Vec<Found<'a>>, DeviceError> {
    let (kind, wanted) = name.split_once('=').unwrap_or((name, ""));
    if !kind.split_once('/').is_some_and(|(vendor, class)| !vendor.is_empty() && !class.is_empty())
    {
        return Err(DeviceError::Name { name: name.to_owned() });
    }
    let mut all: BTreeMap<&str, Found<'_>> = BTreeMap::new();
    for spec in specs.iter().filter(|it| it.kind == kind) {
        for device in &spec.devices {
            all.entry(&device.name).or_insert(Found { spec, device });
        }
    }
    Ok(match wanted {
        "" => all.into_values().take(1).collect(),
        "*" => all.into_values().collect(),
        _ => match all.get(wanted) {
            Some(found) => vec![*found],
            None => all.into_values().filter(|it| it.annotation(CLASS) == Some(wanted)).collect(),
        },
    })
}

const CLASS: &str = "org.mobyproject.buildkit.device.class";
const AUTO_ALLOW: &str = "org.mobyproject.buildkit.device.autoallow";

fn check(found: Found<'_>, allow: &Allow) -> Result<(), DeviceError> {
    let name = found.qualified();
    let named = match &allow.devices {
        Devices::All => true,
        Devices::None => false,
        Devices::Named(names) => names.contains(&name) || names.contains(&found.spec.kind),
    };
    let itself = found.annotation(AUTO_ALLOW).is_some_and(|it| matches!(it, "true" | "1" | "t"));
    if named || itself { Ok(()) } else { Err(DeviceError::NotAllowed { name }) }
}

fn apply(edits: &Edits, name: &str, added: &mut Added) -> Result<(), DeviceError> {
    let Edits { env, device_nodes, mounts, hooks, additional_gids, intel_rdt, net_devices } = edits;
    let refused =
        |what: &str| Err(DeviceError::Unsupported { name: name.to_owned(), what: what.to_owned() });
    if !hooks.is_empty() {
        return refused("hooks, which run programs of the host: strake runs none");
    }
    if intel_rdt.is_some() || !net_devices.is_empty() {
        return refused("Intel RDT or a network device, which strake cannot give");
    }
    for text in env {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        added.env.push((key.to_owned(), value.to_owned()));
    }
    added.groups.extend(additional_gids.iter().filter(|it| **it != 0));
    for node in device_nodes {
        added.mounts.push(device_node(node, name)?);
    }
    for mount in mounts {
        added.mounts.push(bind(mount, name)?);
    }
    Ok(())
}

/// The host's own node is shown, so it has the mode and owner that it has.
fn device_node(node: &Node, name: &str) -> Result<Mount, DeviceError> {
    let Node { path, host_path, _kind, major, minor, file_mode, permissions, uid, gid } = node;
    let refused = |what: String| DeviceError::Unsupported { name: name.to_owned(), what };
    let host = host_path.as_ref().unwrap_or(path);
    let metadata =
        std::fs::metadata(host).map_err(|error| refused(format!("{}: {error}", host.display())))?;
    let (has_major, has_minor) =
        (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    if major.is_some_and(|it| it != i64::from(has_major))
        || minor.is_some_and(|it| it != i64::from(has_minor))
    {
        return Err(refused(format!(
            "another device than {} is ({has_major}:{has_minor})",
            host.display()
        )));
    }
    let mode = metadata.mode() & 0o7777;
    if file_mode.is_some_and(|it| it & 0o7777 != mode)
        || uid.is_some_and(|it| it != metadata.uid())
        || gid.is_some_and(|it| it != metadata.gid())
    {
        let has = format!("{mode:o} and {}:{}", metadata.uid(), metadata.gid());
        return Err(refused(format!(
            "another mode or owner than {} has on the host ({has})",
            host.display()
        )));
    }
    if !permissions.chars().all(|it| "rwm".contains(it)) {
        return Err(refused(format!("the permissions `{permissions}`")));
    }
    let limits = BindLimits { nodev: false, nosuid: true, noexec: true };
    let source = MountSource::Bind { path: host.clone(), readonly: permissions == "r", limits };
    Ok(Mount { target: path.clone(), source })
}

fn bind(mount: &spec::Mount, name: &str) -> Result<Mount, DeviceError> {
    let spec::Mount { host_path, container_path, options, kind } = mount;
    let refused = |what: String| DeviceError::Unsupported { name: name.to_owned(), what };
    if !matches!(kind.as_deref(), None | Some("" | "bind" | "none")) {
        return Err(refused(format!("a mount of type {}", kind.as_deref().unwrap_or_default())));
    }
    if !Path::new(host_path).exists() {
        return Err(refused(format!("{}, which is not there", host_path.display())));
    }
    let mut readonly = false;
    let mut limits = BindLimits::default();
    for option in options {
        match option.as_str() {
            "ro" => readonly = true,
            "nodev" => limits.nodev = true,
            "nosuid" => limits.nosuid = true,
            "noexec" => limits.noexec = true,
            // The mount is private to the RUN however it is asked for.
            "rw" | "bind" | "rbind" | "dev" | "suid" | "exec" | "private" | "rprivate"
            | "slave" | "rslave" => {}
            other => return Err(refused(format!("the mount option `{other}`"))),
        }
    }
    let source = MountSource::Bind { path: host_path.clone(), readonly, limits };
    Ok(Mount { target: container_path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::{Added, DeviceError, devices};
    use crate::options::{Allow, Devices};
    use std::path::PathBuf;
    use strake_plan::DeviceRequest;

    const YAML: &str = "cdiVersion: 0.6.0\nkind: acme.com/gpu\nannotations:\n  \
        org.mobyproject.buildkit.device.class: fast\ncontainerEdits:\n  env: [\"ACME=yes\"]\n\
        devices:\n- name: zero\n  containerEdits:\n    deviceNodes:\n    - path: /dev/acme0\n      \
        hostPath: /dev/null\n- name: one\n  containerEdits:\n    env:\n    - ONE=1\n    mounts:\n    \
        - {hostPath: /usr/bin, containerPath: /acme, options: [ro, nosuid, rbind]}\n";
    const JSON: &str = r#"{"cdiVersion": "0.6.0", "kind": "acme.com/net", "devices": [
        {"name": "hooked", "containerEdits": {"hooks": [
            {"hookName": "createContainer", "path": "/usr/bin/hook"}]}},
        {"name": "free", "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"},
            "containerEdits": {"env": ["FREE=1"]}}]}"#;

    fn ask(names: &[(&str, bool)], allow: Devices) -> Result<Added, DeviceError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("gpu.yaml"), YAML).unwrap();
        std::fs::write(dir.path().join("net.json"), JSON).unwrap();
        std::fs::write(dir.path().join("README"), "no specification").unwrap();
        let requests: Vec<_> = names
            .iter()
            .map(|(name, required)| DeviceRequest { name: (*name).into(), required: *required })
            .collect();
        let allow = Allow { network_host: true, insecure: false, devices: allow };
        devices(&requests, &[PathBuf::from("/no/such"), dir.path().to_owned()], &allow)
    }

    fn targets(added: &Added) -> Vec<&str> {
        added.mounts.iter().map(|it| it.target.to_str().unwrap()).collect()
    }

    #[test]
    fn names_mean_devices() {
        let one = ask(&[("acme.com/gpu=zero", true)], Devices::All).unwrap();
        assert_eq!(targets(&one), ["/dev/acme0"]);
        assert_eq!(one.env, [("ACME".to_owned(), "yes".to_owned())]);
        for all in ["acme.com/gpu=*", "acme.com/gpu=fast"] {
            let all = ask(&[(all, true)], Devices::All).unwrap();
            assert_eq!(targets(&all), ["/acme", "/dev/acme0"]);
        }
        let first = ask(&[("acme.com/gpu", true)], Devices::All).unwrap();
        assert_eq!(targets(&first), ["/acme"]);
        let missing = ask(&[("acme.com/gpu=nine", false)], Devices::All).unwrap();
        assert_eq!(missing.missing, ["acme.com/gpu=nine"]);
    }

    #[test]
    fn what_cannot_be_given_is_an_error() {
        let error = |name, allow| ask(&[(name, true)], allow).unwrap_err().to_string();
        assert_eq!(
            error("acme.com/gpu=nine", Devices::All),
            "device `acme.com/gpu=nine` is required and no specification has it"
        );
        assert!(error("gpu", Devices::All).contains("not the name"));
        assert_eq!(
            error("acme.com/gpu=one", Devices::None),
            "device `acme.com/gpu=one` is not allowed"
        );
        assert!(error("acme.com/net=hooked", Devices::All).contains("hooks"));
        let kind = Devices::Named(["acme.com/gpu".to_owned()].into());
        assert!(ask(&[("acme.com/gpu=one", true)], kind).is_ok());
        assert!(ask(&[("acme.com/net=free", true)], Devices::None).is_ok());
    }

    #[test]
    fn a_broken_specification_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["{\"kind\": 1}", "not: [closed", "kind: a/b\ndevices: []\nfancy: 1\n"] {
            std::fs::write(dir.path().join("broken.yaml"), text).unwrap();
            let request = DeviceRequest { name: "a/b".into(), required: true };
            let allow = Allow { network_host: true, insecure: false, devices: Devices::All };
            let error = devices(&[request], &[dir.path().to_owned()], &allow).unwrap_err();
            assert!(error.to_string().contains("broken.yaml: "), "{error}");
        }
    }
}
