//! Contexts to build, the same in every run and at every commit: files of made-up source text, of the
//! sizes that npm packages have.

use super::workloads::Kind;
use fs_err as fs;
use std::{
    fmt::Write as _,
    io::{self, BufWriter, Write as _},
    path::Path,
};

const WRITES: &str = "writing to a string";

/// Numbers that are the same in every run.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 32) as usize % below
    }
}

/// Makes a context with its Dockerfile.
pub(super) fn make(folder: &Path, kind: Kind, size: u64) -> io::Result<()> {
    let count = usize::try_from(size).expect("sizes are small");
    fs::create_dir_all(folder)?;
    let mut numbers = Numbers(count as u64);
    let mut dockerfile = String::from("FROM scratch\nCOPY . /app\n");
    match kind {
        Kind::Files => files(folder, count, &corpus(), &mut numbers)?,
        Kind::Large => large(folder, count << 20, &corpus(), &mut numbers)?,
        Kind::Ignored => {
            files(&folder.join("node_modules"), count, b"x", &mut numbers)?;
            files(&folder.join("src"), 20, &corpus(), &mut numbers)?;
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
                    .expect(WRITES);
            }
        }
        Kind::App => dockerfile = app(folder, count, &mut numbers)?,
        Kind::Base => {
            fs::copy("/bin/busybox", folder.join("busybox"))?;
            dockerfile = String::from("FROM scratch\nCOPY busybox /bin/busybox\n");
            // In layers, as bases are; 8 KB a file.
            for part in 0..4 {
                let files_of_part = count * 32;
                files(&folder.join(format!("part{part}")), files_of_part, &corpus(), &mut numbers)?;
                writeln!(dockerfile, "COPY part{part} /usr/part{part}").expect(WRITES);
            }
        }
        Kind::Push => {
            noise(&folder.join("noise"), count << 20, &mut numbers)?;
        }
        Kind::Runs => {
            fs::copy("/bin/busybox", folder.join("busybox"))?;
            dockerfile = String::from("FROM scratch\nCOPY busybox /bin/busybox\n");
            for at in 0..count {
                writeln!(
                    dockerfile,
                    "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo {at} > /n{at}\"]"
                )
                .expect(WRITES);
            }
        }
    }
    fs::write(folder.join("Dockerfile"), dockerfile)
}

/// A Node application: dependencies in a RUN, then its sources.
fn app(folder: &Path, count: usize, numbers: &mut Numbers) -> io::Result<String> {
    fs::copy("/bin/busybox", folder.join("busybox"))?;
    fs::write(folder.join("package.json"), "{ \"name\": \"app\" }\n")?;
    files(&folder.join("src"), count, &corpus(), numbers)?;
    let lines = [
        "FROM scratch",
        "COPY busybox /bin/busybox",
        "ENV NODE_ENV=production",
        "WORKDIR /app",
        "COPY package.json ./",
        "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo done > installed\"]",
        "COPY src ./src",
        "EXPOSE 3000",
        "CMD [\"/bin/busybox\", \"true\"]",
    ];
    Ok(lines.join("\n") + "\n")
}

/// Bytes that do not compress.
fn noise(path: &Path, bytes: usize, numbers: &mut Numbers) -> io::Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for _ in 0..bytes / 4 {
        file.write_all(&u32::try_from(numbers.next(1 << 32)).expect("32 bits").to_le_bytes())?;
    }
    file.flush()
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

/// Text of words and signs, some frequent and most rare, that gzip makes a quarter of.
fn corpus() -> Vec<u8> {
    let mut numbers = Numbers(7);
    let words: Vec<String> = (0..6000)
        .map(|_| {
            let length = 2 + numbers.next(9);
            let letters =
                (0..length).map(|_| char::from(b"etaoinsrhldcumfpgwybvk"[numbers.next(22)]));
            letters.collect()
        })
        .collect();
    let signs =
        ["(", ");\n    ", " = ", ".", ", ", " {\n        ", "}\n", " => ", "\n// ", "['", "']"];
    let mut text = Vec::with_capacity(4 << 20);
    while text.len() < 4 << 20 {
        // Twice drawn, so that the first words are the most frequent.
        let below = 1 + numbers.next(words.len());
        let below = 1 + numbers.next(below);
        let word = &words[numbers.next(below)];
        text.extend_from_slice(word.as_bytes());
        let sign = if numbers.next(3) == 0 { signs[numbers.next(signs.len())] } else { " " };
        text.extend_from_slice(sign.as_bytes());
    }
    text
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

/// Changes the middle file, and returns what restores its content and times.
pub(super) fn change_with_undo(folder: &Path) -> io::Result<impl FnOnce() -> io::Result<()>> {
    let mut files = Vec::new();
    regular(folder, &mut files)?;
    files.sort();
    let path = files[files.len() / 2].clone();
    let (content, modified) = (fs::read(&path)?, fs::metadata(&path)?.modified()?);
    fs::write(&path, b"something else")?;
    Ok(move || {
        fs::write(&path, content)?;
        fs::OpenOptions::new().append(true).open(&path)?.set_modified(modified)
    })
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
