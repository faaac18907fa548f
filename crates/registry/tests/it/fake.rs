//! A registry in memory, over real sockets, that misbehaves as a test tells it to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};
use strake_oci::Digest;

/// What came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|it| it.split_once('='));
        let value = pairs.into_iter().find(|(key, _)| *key == name)?.1;
        Some(value.replace("%3A", ":").replace("%2F", "/"))
    }
}

/// What goes out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Ends the connection after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Instead of ending the connection there, says nothing until the other side ends it.
    pub(crate) stalls: bool,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    /// No answer at all.
    pub(crate) fn silence() -> Reply {
        Reply { cut: Some(0), stalls: true, ..Reply::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Reply {
        Reply { body: body.into(), ..self }
    }
}

/// Decides for each request: `None` is what an honest registry would do.
///
/// The number counts the requests of this method to this path, from 0.
type Rule = dyn Fn(&Request, usize) -> Option<Reply> + Send + Sync;

#[derive(Default)]
struct Contents {
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// Repository and digest.
    links: BTreeSet<(String, Digest)>,
    /// Repository and tag or digest: media type and bytes.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    /// Uploads that are under way, by name.
    sessions: BTreeMap<String, Vec<u8>>,
    begun: usize,
    log: Vec<Request>,
}

struct Shared {
    rule: Box<Rule>,
    contents: Mutex<Contents>,
}

pub(crate) struct Fake {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Fake {
    pub(crate) fn honest() -> Fake {
        Fake::start(|_, _| None)
    }

    pub(crate) fn start(
        rule: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { rule: Box::new(rule), contents: Mutex::default() });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.serve(stream));
            }
        });
        Fake { port, shared }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host())
    }

    /// Puts a blob in, without a request.
    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) {
        let mut contents = self.shared.contents.lock().unwrap();
        contents.blobs.insert(Digest::of(bytes), bytes.to_vec());
        contents.links.insert((repository.to_owned(), Digest::of(bytes)));
    }

    /// Puts a manifest in, without a request.
    pub(crate) fn put_manifest(&self, repository: &str, name: &str, kind: &str, bytes: &[u8]) {
        let mut contents = self.shared.contents.lock().unwrap();
        for name in [name.to_owned(), Digest::of(bytes).to_string()] {
            let content = (kind.to_owned(), bytes.to_vec());
            contents.manifests.insert((repository.to_owned(), name), content);
        }
    }

    pub(crate) fn has_blob(&self, repository: &str, digest: &Digest) -> bool {
        self.shared.contents.lock().unwrap().links.contains(&(repository.to_owned(), *digest))
    }

    pub(crate) fn tags(&self) -> Vec<String> {
        let contents = self.shared.contents.lock().unwrap();
        let tags = contents.manifests.keys().filter(|it| !it.1.contains(':'));
        tags.map(|(repository, tag)| format!("{repository}:{tag}")).collect()
    }

    /// All requests so far.
    pub(crate) fn log(&self) -> Vec<Request> {
        self.shared.contents.lock().unwrap().log.clone()
    }

    /// How many requests of this method to a path with this part.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.log().iter().filter(|it| it.is(method, part)).count()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Ok(Some(request)) = read(&mut reader) {
            let seen = {
                let mut contents = self.contents.lock().unwrap();
                let same = |it: &&Request| it.method == request.method && it.path == request.path;
                let seen = contents.log.iter().filter(same).count();
                contents.log.push(request.clone());
                seen
            };
            let reply = (self.rule)(&request, seen);
            let reply = reply.unwrap_or_else(|| self.contents.lock().unwrap().answer(&request));
            let head = request.method == "HEAD";
            let written = write(&mut writer, &reply, head);
            if reply.stalls {
                let _ = reader.read(&mut [0]);
            }
            if written.is_err() || reply.cut.is_some() {
                let _ = writer.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.by_ref().take(64 << 10).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8(line).map_err(|_| bad())?;
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let mut words = lines.first().ok_or_else(bad)?.split(' ');
    let (method, target) = (words.next().ok_or_else(bad)?, words.next().ok_or_else(bad)?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: BTreeMap<String, String> = lines[1..]
        .iter()
        .filter_map(|it| it.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    Ok(Some(Request { method, path, query, headers, body }))
}

fn write(writer: &mut TcpStream, reply: &Reply, head: bool) -> io::Result<()> {
    if reply.status == 0 {
        return Ok(());
    }
    let mut text = format!("HTTP/1.1 {} X\r\n", reply.status);
    if !reply.headers.iter().any(|it| it.0 == "Content-Length") {
        text += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    for (name, value) in &reply.headers {
        text += &format!("{name}: {value}\r\n");
    }
    writer.write_all(format!("{text}\r\n").as_bytes())?;
    if !head {
        let sent = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
        writer.write_all(&reply.body[..sent])?;
    }
    writer.flush()
}

impl Contents {
    fn answer(&mut self, request: &Request) -> Reply {
        let Some(rest) = request.path.strip_prefix("/v2/") else { return Reply::status(404) };
        if rest.is_empty() {
            return Reply::status(200);
        }
        if let Some((repository, _)) = rest.split_once("/blobs/uploads/") {
            let session = request.parameter("n").unwrap_or_default();
            return match request.method.as_str() {
                "POST" => self.post(repository, request),
                "PUT" => self.put(repository, &session, request),
                "PATCH" | "GET" => self.session(&session, request),
                _ => Reply::status(405),
            };
        }
        if let Some((repository, digest)) = rest.split_once("/blobs/") {
            return self.blob(repository, digest, request);
        }
        match rest.split_once("/manifests/") {
            Some((repository, name)) => self.manifest(repository, name, request),
            None => Reply::status(404),
        }
    }

    fn post(&mut self, repository: &str, request: &Request) -> Reply {
        let mount = request.parameter("mount").and_then(|it| it.parse::<Digest>().ok());
        if let (Some(digest), Some(from)) = (mount, request.parameter("from"))
            && self.links.contains(&(from, digest))
        {
            self.links.insert((repository.to_owned(), digest));
            return Reply::status(201);
        }
        self.begun += 1;
        let location =
            format!("/v2/{repository}/blobs/uploads/session?state=s%2Fe&n={}", self.begun);
        self.sessions.insert(self.begun.to_string(), Vec::new());
        Reply::status(202).with("Location", &location)
    }

    /// A chunk, or the question how far it is.
    fn session(&mut self, name: &str, request: &Request) -> Reply {
        let Some(bytes) = self.sessions.get_mut(name) else { return Reply::status(404) };
        let status = if request.method == "GET" { 204 } else { 202 };
        if request.method == "PATCH" {
            let start = request.header("content-range").split('-').next().unwrap_or_default();
            if start.parse() != Ok(bytes.len()) {
                return Reply::status(416);
            }
            bytes.extend_from_slice(&request.body);
        }
        let range = format!("0-{}", bytes.len().saturating_sub(1));
        Reply::status(status).with("Range", &range)
    }

    fn put(&mut self, repository: &str, session: &str, request: &Request) -> Reply {
        let mut body = self.sessions.remove(session).unwrap_or_default();
        body.extend_from_slice(&request.body);
        let digest = Digest::of(&body);
        if request.parameter("digest") != Some(digest.to_string()) {
            let error = r#"{"errors":[{"code":"DIGEST_INVALID","message":"digest invalid"}]}"#;
            return Reply::status(400).body(error);
        }
        self.blobs.insert(digest, body);
        self.links.insert((repository.to_owned(), digest));
        Reply::status(201).with("Docker-Content-Digest", &digest.to_string())
    }

    fn blob(&self, repository: &str, digest: &str, request: &Request) -> Reply {
        let Ok(digest) = digest.parse::<Digest>() else { return Reply::status(400) };
        if !self.links.contains(&(repository.to_owned(), digest)) {
            let error = r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#;
            return Reply::status(404).body(error);
        }
        let bytes = &self.blobs[&digest];
        let range = request.header("range").strip_prefix("bytes=");
        match range.and_then(|it| it.split('-').next()?.parse::<usize>().ok()) {
            Some(start) => {
                let (last, whole) = (bytes.len() - 1, bytes.len());
                let range = format!("bytes {start}-{last}/{whole}");
                Reply::status(206).with("Content-Range", &range).body(&bytes[start..])
            }
            None => Reply::status(200).body(bytes.as_slice()),
        }
    }

    fn manifest(&mut self, repository: &str, name: &str, request: &Request) -> Reply {
        if request.method == "PUT" {
            let digest = Digest::of(&request.body).to_string();
            let content = (request.header("content-type").to_owned(), request.body.clone());
            for name in [name, digest.as_str()] {
                self.manifests.insert((repository.to_owned(), name.to_owned()), content.clone());
            }
            return Reply::status(201).with("Docker-Content-Digest", &digest);
        }
        match self.manifests.get(&(repository.to_owned(), name.to_owned())) {
            Some((kind, bytes)) => Reply::status(200)
                .with("Content-Type", kind)
                .with("Docker-Content-Digest", &Digest::of(bytes).to_string())
                .body(bytes.as_slice()),
            None => {
                let error = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#;
                Reply::status(404).body(error)
            }
        }
    }
}
