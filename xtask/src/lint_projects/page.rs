//! One page of `testdata/lint/projects`.

use crate::shell::root;
use fs_err as fs;

/// What a page says of a project.
#[derive(Debug)]
pub(super) struct Page {
    /// The name of the file.
    pub(super) name: String,
    /// `LINE RULE` of each mistake that was planted.
    pub(super) planted: Vec<String>,
    /// The file that the change of one line is made in.
    pub(super) edited: String,
    /// What stands in for something that cannot be had.
    pub(super) instead: Option<String>,
    /// A script that makes lock files.
    pub(super) setup: Option<String>,
    /// Paths and sizes; folders end with `/`.
    pub(super) context: Vec<(String, usize)>,
    /// Paths and contents of those that are not filled up.
    pub(super) files: Vec<(String, String)>,
    /// `.dockerignore`.
    pub(super) dockerignore: Option<String>,
    /// Paths that each commit changed, the newest first.
    pub(super) history: Vec<String>,
    /// The Dockerfile before anything is fixed.
    pub(super) dockerfile: String,
}

impl Page {
    /// Which builder the project is for.
    pub(super) fn builder(&self) -> &'static str {
        if self.name.starts_with("kaniko") { "kaniko" } else { "strake" }
    }
}

/// All of them, by name.
pub(super) fn all() -> Result<Vec<Page>, String> {
    let folder = root().join("testdata/lint/projects");
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder).map_err(|it| it.to_string())? {
        let path = entry.map_err(|it| it.to_string())?.path();
        let text = fs::read_to_string(&path).map_err(|it| it.to_string())?;
        let name = path.file_stem().map(|it| it.to_string_lossy().into_owned());
        pages.push(read(name.unwrap_or_default(), &text)?);
    }
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pages)
}

fn read(name: String, text: &str) -> Result<Page, String> {
    let block = |info: &str| {
        let from = text.find(&format!("```{info}\n"))? + info.len() + 4;
        text[from..].split("```").next().map(str::to_owned)
    };
    let needed = |info: &str| block(info).ok_or(format!("{name} has no block `{info}`"));
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<String>>();
    let sized = |line: String| {
        let mut words = line.split_whitespace();
        let path = words.next().unwrap_or_default().to_owned();
        (path, words.next().and_then(|it| it.parse().ok()).unwrap_or(0))
    };
    let file = |rest: &str| {
        let (path, rest) = rest.split_once('\n')?;
        Some((path.to_owned(), rest.split("```").next()?.to_owned()))
    };
    Ok(Page {
        planted: lines(needed("text planted")?),
        edited: needed("text edited")?.trim().to_owned(),
        instead: block("text instead").map(|it| it.trim().to_owned()),
        setup: block("text setup"),
        context: lines(needed("text context")?).into_iter().map(sized).collect(),
        files: text.split("```file ").skip(1).filter_map(file).collect(),
        dockerignore: block("text dockerignore"),
        history: block("text history").map(lines).unwrap_or_default(),
        dockerfile: needed("dockerfile before")?,
        name,
    })
}
