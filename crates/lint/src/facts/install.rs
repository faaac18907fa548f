//! Which commands install dependencies, from what, and where they keep what they fetched.

use super::command::Cmd;

/// A tool that installs dependencies.
#[derive(Debug)]
pub struct Tool {
    /// As people call it.
    pub name: &'static str,
    /// Files that say what is wanted; a `*` stands for any name.
    pub manifests: &'static [&'static str],
    /// Files that say what is taken.
    pub locks: &'static [&'static str],
    /// Further files that it reads where they are.
    pub besides: &'static [&'static str],
    /// Where root's cache is.
    pub caches: &'static [&'static str],
    /// It needs no file of the context at all.
    pub system: bool,
    is: fn(&Cmd) -> bool,
}

/// A command that installs.
#[derive(Clone, Copy, Debug)]
pub struct Install<'a> {
    /// With what.
    pub tool: &'static Tool,
    /// The command.
    pub cmd: &'a Cmd,
}

/// The tool that a command installs with.
pub fn install(cmd: &Cmd) -> Option<Install<'_>> {
    TOOLS.iter().find(|it| (it.is)(cmd)).map(|tool| Install { tool, cmd })
}

impl Tool {
    /// Whether a file's name is one that the tool reads.
    pub fn reads(&self, name: &str) -> bool {
        let all = self.manifests.iter().chain(self.locks).chain(self.besides);
        all.into_iter().any(|it| is_like(it, name))
    }

    /// Whether a file's name is a lockfile.
    pub fn locks(&self, name: &str) -> bool {
        self.locks.iter().any(|it| is_like(it, name))
    }

    /// Whether a file's name is a manifest.
    pub fn wants(&self, name: &str) -> bool {
        self.manifests.iter().any(|it| is_like(it, name))
    }
}

/// `*` in a pattern stands for any text.
pub fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
        None => pattern == name,
    }
}

fn bare(cmd: &Cmd, verbs: &[&str]) -> bool {
    let values = ["--prefix", "--cwd", "-C", "--registry", "--filter", "--cache", "--dir", "-w"];
    let operands = cmd.operands(&values);
    operands.len() == 1 && verbs.contains(&operands[0].text.as_str())
}

const fn tool(
    name: &'static str,
    manifests: &'static [&'static str],
    locks: &'static [&'static str],
    besides: &'static [&'static str],
    caches: &'static [&'static str],
    is: fn(&Cmd) -> bool,
) -> Tool {
    Tool { name, manifests, locks, besides, caches, system: false, is }
}

const fn system(name: &'static str, caches: &'static [&'static str], is: fn(&Cmd) -> bool) -> Tool {
    Tool { name, manifests: &[], locks: &[], besides: &[], caches, system: true, is }
}

/// Every tool that is known.
pub(crate) fn tools() -> &'static [Tool] {
    TOOLS
}

static TOOLS: &[Tool] = &[
    tool(
        "npm",
        &["package.json"],
        &["package-lock.json", "npm-shrinkwrap.json"],
        &[".npmrc"],
        &["/root/.npm"],
        |it| it.is(&["npm"]) && bare(it, &["ci", "install", "i", "clean-install"]),
    ),
    tool(
        "yarn",
        &["package.json"],
        &["yarn.lock"],
        &[".yarnrc", ".yarnrc.yml", ".yarn"],
        &["/usr/local/share/.cache/yarn", "/root/.yarn", "/root/.cache/yarn"],
        |it| {
            it.is(&["yarn"])
                && (bare(it, &["install"])
                    || it.operands(&["--cwd"]).is_empty() && !it.has("--version"))
        },
    ),
    tool(
        "pnpm",
        &["package.json"],
        &["pnpm-lock.yaml"],
        &["pnpm-workspace.yaml", ".npmrc", "patches"],
        &["/root/.local/share/pnpm/store", "/pnpm/store", "/root/.cache/pnpm"],
        |it| it.is(&["pnpm"]) && bare(it, &["install", "i", "fetch"]),
    ),
    tool(
        "bun",
        &["package.json"],
        &["bun.lock", "bun.lockb"],
        &["bunfig.toml"],
        &["/root/.bun/install/cache"],
        |it| it.is(&["bun"]) && bare(it, &["install", "i"]),
    ),
    tool(
        "pip",
        &["requirements*.txt"],
        &[],
        &["constraints*.txt", "requirements", "pip.conf"],
        &["/root/.cache/pip"],
        |it| {
            crate::rules::pip_args(it).is_some_and(|it| {
                it.iter().any(|it| {
                    matches!(it.text.as_str(), "-r" | "--requirement")
                        || it.text.starts_with("--requirement=")
                        || it.text.starts_with("-r") && it.text.ends_with(".txt")
                })
            })
        },
    ),
    tool(
        "poetry",
        &["pyproject.toml"],
        &["poetry.lock"],
        &["poetry.toml"],
        &["/root/.cache/pypoetry"],
        |it| it.is(&["poetry"]) && it.verb(&["install", "sync"]),
    ),
    tool(
        "uv",
        &["pyproject.toml", "requirements*.txt"],
        &["uv.lock"],
        &[".python-version", "uv.toml"],
        &["/root/.cache/uv"],
        |it| it.is(&["uv"]) && (it.verb(&["sync"]) || it.verb(&["pip"]) && it.has("-r")),
    ),
    tool(
        "pipenv",
        &["Pipfile"],
        &["Pipfile.lock"],
        &[],
        &["/root/.cache/pipenv", "/root/.cache/pip"],
        |it| it.is(&["pipenv"]) && it.verb(&["install", "sync"]),
    ),
    tool(
        "cargo",
        &["Cargo.toml"],
        &["Cargo.lock"],
        &[".cargo", "rust-toolchain.toml"],
        &["/usr/local/cargo/registry", "/root/.cargo/registry"],
        |it| {
            it.is(&["cargo"])
                && (it.verb(&["fetch", "vendor"]) || it.verb(&["chef"]) && it.has("cook"))
        },
    ),
    tool(
        "go",
        &["go.mod"],
        &["go.sum"],
        &["go.work", "go.work.sum"],
        &["/go/pkg/mod", "/root/go/pkg/mod"],
        |it| it.is(&["go"]) && it.verb(&["mod"]) && it.has("download"),
    ),
    tool("Maven", &["pom.xml"], &[], &[".mvn", "mvnw"], &["/root/.m2"], |it| {
        it.is(&["mvn", "./mvnw"])
            && it
                .args
                .iter()
                .any(|it| it.text.starts_with("dependency:") || it.text.contains(":go-offline"))
    }),
    tool(
        "Gradle",
        &["build.gradle", "build.gradle.kts"],
        &["gradle.lockfile"],
        &["settings.gradle", "settings.gradle.kts", "gradle.properties", "gradle", "gradlew"],
        &["/root/.gradle", "/home/gradle/.gradle"],
        |it| it.is(&["gradle", "./gradlew"]) && it.has("dependencies"),
    ),
    tool(
        "Bundler",
        &["Gemfile"],
        &["Gemfile.lock"],
        &[".ruby-version", ".bundle", "*.gemspec"],
        &["/usr/local/bundle/cache", "/root/.bundle"],
        |it| {
            it.is(&["bundle"])
                && (it.verb(&["install"]) || it.operands(&[]).is_empty() && !it.has("--version"))
        },
    ),
    tool(
        "Composer",
        &["composer.json"],
        &["composer.lock"],
        &["symfony.lock", "auth.json"],
        &["/root/.composer/cache", "/tmp/cache"],
        |it| {
            it.program() == "composer" && it.verb(&["install"])
                || it.is(&["php"])
                    && it.has("install")
                    && it.args.iter().any(|it| it.text.contains("composer"))
        },
    ),
    tool(
        ".NET",
        &["*.csproj", "*.fsproj", "*.sln"],
        &["packages.lock.json"],
        &[
            "nuget.config",
            "NuGet.Config",
            "Directory.Build.props",
            "Directory.Packages.props",
            "global.json",
        ],
        &["/root/.nuget/packages"],
        |it| it.is(&["dotnet"]) && it.verb(&["restore"]),
    ),
    tool(
        "Mix",
        &["mix.exs"],
        &["mix.lock"],
        &["config"],
        &["/root/.hex", "/root/.cache/rebar3"],
        |it| it.is(&["mix"]) && it.verb(&["deps.get"]),
    ),
    system("apt", &["/var/cache/apt"], |it| {
        it.is(&["apt-get", "apt", "aptitude"])
            && it.has("install")
            && !it.args.iter().any(|it| it.text.starts_with('.') || it.is_dynamic())
    }),
    system("apk", &["/var/cache/apk", "/etc/apk/cache"], |it| {
        it.is(&["apk"])
            && it.has("add")
            && !it.args.iter().any(|it| it.text.starts_with('.') || it.is_dynamic())
    }),
    system("dnf", &["/var/cache/dnf", "/var/cache/libdnf5"], |it| {
        it.is(&["dnf", "microdnf"])
            && it.has("install")
            && !it.args.iter().any(|it| it.text.starts_with('.') || it.is_dynamic())
    }),
    system("yum", &["/var/cache/yum"], |it| {
        it.is(&["yum"])
            && it.has("install")
            && !it.args.iter().any(|it| it.text.starts_with('.') || it.is_dynamic())
    }),
    system("zypper", &["/var/cache/zypp"], |it| {
        it.is(&["zypper"])
            && it.has_any(&["install", "in"])
            && !it.args.iter().any(|it| it.is_dynamic())
    }),
];

/// Commands that look at no file of the context: a RUN of nothing else can stand anywhere.
pub fn is_self_contained(cmd: &Cmd) -> bool {
    const PLAIN: &[&str] = &[
        "apt-get",
        "apt",
        "apk",
        "dnf",
        "yum",
        "microdnf",
        "zypper",
        "apt-mark",
        "apt-cache",
        "update-ca-certificates",
        "ldconfig",
        "true",
        "set",
        "groupadd",
        "useradd",
        "adduser",
        "addgroup",
        "corepack",
        "locale-gen",
    ];
    let local = cmd.args.iter().any(|it| it.text.starts_with('.') || it.is_dynamic());
    let cleans = cmd.is(&["rm", "mkdir", "echo"])
        && cmd.plain().all(|it| {
            ["/var/", "/tmp/", "/root/.", "/etc/apt/"].iter().any(|at| it.text.starts_with(at))
        })
        && cmd.redirects.is_empty();
    (cmd.is(PLAIN) && !local && cmd.redirects.is_empty()) || cleans
}
