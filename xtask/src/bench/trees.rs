//! Contexts to build, the same in every run: files of source text, of the sizes that npm packages have.

use super::workloads::Kind;
use crate::shell::root;
use fs_err as fs;
use std::{
    fmt::Write as _,
    io::{self, BufWriter, Write as _},
    path::Path,
};

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % below
    }
}

/// Makes a context with its Dockerfile.
pub(super) fn make(folder: &Path, kind: Kind, size: u64) -> io::Result<()> {
    let count = usize::try_from(size).expect("sizes are small");
    fs::create_dir_all(folder)?;
    let mut numbers = Numbers(count as u64);
    let mut dockerfile = String::from("FROM scratch\nCOPY . /app\n");
    match kind {
        Kind::Files => files(folder, count, &corpus()?, &mut numbers)?,
        Kind::Large => large(folder, count << 20, &corpus()?, &mut numbers)?,
        Kind::Ignored => {
            files(&folder.join("node_modules"), count, b"x", &mut numbers)?;
            files(&folder.join("src"), 20, &corpus()?, &mut numbers)?;
            fs::write(folder.join(".dockerignore"), "node_modules\n")?;
        }
        Kind::Stages => {
            fs::write(folder.join("file"), "text\n")?;
            dockerfile = String::from("FROM scratch AS s0\nCOPY file /f0\n");
            for at in 1..count {
                let below = at - 1;
                let stage =
                    format!("FROM scratch AS s{at}\nCOPY --from=s{below} /f{below} /f{at}\n");
                dockerfile.push_str(&stage);
            }
        }
        Kind::Lines => {
            fs::write(folder.join("file"), "text\n")?;
            for at in 0..count / 2 {
                write!(dockerfile, "ENV NAME_{at}=value_{at}\nLABEL label.{at}=\"$NAME_{at}\"\n")
                    .expect("writing to a string");
            }
        }
        Kind::Runs => {
            fs::copy("/bin/busybox", folder.join("busybox"))?;
            dockerfile = String::from("FROM scratch\nCOPY busybox /bin/busybox\n");
            for at in 0..count {
                writeln!(
                    dockerfile,
                    "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo {at} > /n{at}\"]"
                )
                .expect("writing to a string");
            }
        }
    }
    fs::write(folder.join("Dockerfile"), dockerfile)
}

/// A file in about four is tiny, one in a hundred is large; 8 KB on average.
fn files(folder: &Path, count: usize, corpus: &[u8], numbers: &mut Numbers) -> io::Result<()> {
    let mut directory = folder.to_owned();
    for at in 0..count {
        if at % 20 == 0 {
            let package = format!("package-{:05}", at / 400);
            directory = folder.join(package).join(format!("lib-{:02}", at / 20 % 20));
            fs::create_dir_all(&directory)?;
        }
        let length = match numbers.next(100) {
            0 => 100_000 + numbers.next(400_000),
            1..=25 => numbers.next(300),
            _ => numbers.next(4_000) + numbers.next(4_000),
        };
        let start = numbers.next(corpus.len());
        let text: Vec<u8> =
            corpus.iter().cycle().skip(start).take(length.min(corpus.len())).copied().collect();
        fs::write(directory.join(format!("module-{at:06}.js")), text)?;
    }
    Ok(())
}

fn large(folder: &Path, bytes: usize, corpus: &[u8], numbers: &mut Numbers) -> io::Result<()> {
    for name in ["a.bin", "b.bin", "c.bin", "d.bin"] {
        let mut file = BufWriter::new(fs::File::create(folder.join(name))?);
        let mut left = bytes / 4;
        while left > 0 {
            let start = numbers.next(corpus.len());
            let length = (1 + numbers.next(5_000)).min(left).min(corpus.len() - start);
            file.write_all(&corpus[start..start + length])?;
            let noise: Vec<u8> =
                (0..(length / 3).min(left - length)).map(|_| numbers.next(256) as u8).collect();
            file.write_all(&noise)?;
            left -= length + noise.len();
        }
        file.flush()?;
    }
    Ok(())
}

/// The sources of this program.
fn corpus() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for part in ["crates", "xtask"] {
        gather(&root().join(part), &mut text)?;
    }
    Ok(text)
}

fn gather(folder: &Path, text: &mut Vec<u8>) -> io::Result<()> {
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.map(|it| it.map(|it| it.path())).collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            gather(&path, text)?;
        } else if path.extension().is_some_and(|it| it == "rs" || it == "md") {
            text.extend(fs::read(&path)?);
        }
    }
    Ok(())
}

/// Appends a byte to the first, a middle or the last file, in the order of their names.
pub(super) fn change(folder: &Path, which: usize) -> io::Result<()> {
    let mut files = Vec::new();
    regular(folder, &mut files)?;
    files.retain(|it| it.file_name().is_some_and(|name| name != "Dockerfile"));
    files.sort();
    let at = [0, files.len() / 2, files.len() - 1][which];
    fs::OpenOptions::new().append(true).open(&files[at])?.write_all(b"x")
}

fn regular(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            regular(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
