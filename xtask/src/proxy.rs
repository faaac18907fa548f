//! A way to a registry that counts, and goes wrong where a test wants it to: HTTP/1.1, loopback, threads.
//!
//! Shared with the tests of `strake-registry` and `strake-cli`, which name this file by its path.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// A request without its body.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// Whether it is of this method and its target has this part.
    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    fn length(&self) -> u64 {
        self.header("content-length").parse().unwrap_or(0)
    }
}

/// An answer without its body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    /// Leaves out a header.
    pub(crate) fn drop(&mut self, name: &str) {
        self.headers.retain(|it| !it.0.eq_ignore_ascii_case(name));
    }

    /// Writes a header instead of what was there.
    pub(crate) fn put(&mut self, name: &str, value: &str) {
        self.drop(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|it| it.0.eq_ignore_ascii_case(name)).map_or("", |it| it.1.as_str())
}

/// Changes an answer's head on its way.
pub(crate) type Edit = Box<dyn FnOnce(&mut Answer) + Send>;

/// What goes wrong with one request. The default is nothing.
#[derive(Default)]
pub(crate) struct Fault {
    /// The proxy answers itself, after it has read the body.
    pub(crate) answer: Option<(Answer, Vec<u8>)>,
    /// Nothing is said until the other side goes.
    pub(crate) silent: bool,
    /// The connections end after so many bytes of the request's body; with none, the registry hears nothing.
    pub(crate) request_ends: Option<u64>,
    /// Nothing goes on after so many bytes of the request's body.
    pub(crate) request_stalls: Option<u64>,
    /// The connection ends after so many bytes of the answer's body.
    pub(crate) answer_ends: Option<u64>,
    /// Nothing comes after so many bytes of the answer's body.
    pub(crate) answer_stalls: Option<u64>,
    /// This byte of the answer's body is another one.
    pub(crate) corrupts: Option<u64>,
    /// Changes the answer's head.
    pub(crate) edits: Option<Edit>,
    /// The answer comes twice on the same connection.
    pub(crate) twice: bool,
    /// The answer comes once more, in place of the next one on the same connection.
    pub(crate) late: bool,
    /// The registry answers, and the connection ends without it.
    pub(crate) lost: bool,
    /// What is asked for instead.
    pub(crate) target: Option<String>,
}

impl Fault {
    /// An answer of the proxy's own.
    pub(crate) fn status(status: u16, headers: &[(&str, &str)], body: &str) -> Fault {
        let headers = headers.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
        let answer = Some((Answer { status, headers }, body.as_bytes().to_vec()));
        Fault { answer, ..Fault::default() }
    }

    pub(crate) fn edit(edit: impl FnOnce(&mut Answer) + Send + 'static) -> Fault {
        Fault { edits: Some(Box::new(edit)), ..Fault::default() }
    }
}

/// One request that came by.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: Head,
    /// Bytes of its body.
    pub(crate) up: u64,
    /// 0 where none came.
    pub(crate) status: u16,
    /// Bytes of the answer's body.
    pub(crate) down: u64,
}

/// Decides for each request; the number counts those of the same method and path, from 0.
pub(crate) type Rule = dyn Fn(&Head, usize) -> Fault + Send + Sync;

struct Shared {
    to: u16,
    rule: Box<Rule>,
    log: Mutex<Vec<Seen>>,
    /// Bytes a second in each request; 0 is no limit.
    rate: AtomicU64,
    closed: AtomicBool,
    /// Chunks are passed on when they have come whole, as a proxy that buffers does.
    buffers: AtomicBool,
    /// Bytes of bodies that came.
    total: AtomicU64,
    /// Where uploads stand, by path: with `buffers` an address that is old leads there, too.
    uploads: Mutex<BTreeMap<String, String>>,
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Proxy {
    /// A way to the registry at this port.
    pub(crate) fn start(
        to: u16,
        rule: impl Fn(&Head, usize) -> Fault + Send + Sync + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a port");
        let port = listener.local_addr().expect("bound above").port();
        let shared = Arc::new(Shared {
            to,
            rule: Box::new(rule),
            log: Mutex::default(),
            rate: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            buffers: AtomicBool::new(false),
            total: AtomicU64::new(0),
            uploads: Mutex::default(),
        });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.closed.load(Ordering::SeqCst) {
                    return;
                }
                let server = Arc::clone(&server);
                thread::spawn(move || server.serve(stream));
            }
        });
        Proxy { port, shared }
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port)
    }

    /// Passes so many bytes a second in each request; 0 is no limit.
    pub(crate) fn rate(&self, bytes: u64) {
        self.shared.rate.store(bytes, Ordering::Relaxed);
    }

    /// Passes chunks on when they have come whole, from now on.
    pub(crate) fn buffer(&self) {
        self.shared.buffers.store(true, Ordering::Relaxed);
    }

    /// Bytes of all bodies that came.
    pub(crate) fn total(&self) -> u64 {
        self.shared.total.load(Ordering::Relaxed)
    }

    /// All requests so far.
    pub(crate) fn log(&self) -> Vec<Seen> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what came so far.
    pub(crate) fn clear(&self) {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Shared {
    fn serve(&self, near: TcpStream) {
        let _ = near.set_nodelay(true);
        let Ok(reading) = near.try_clone() else { return };
        let mut from = BufReader::with_capacity(64 << 10, reading);
        let mut near = near;
        let mut late = None;
        while let Ok(Some(head)) = read_head(&mut from) {
            if late.take().is_some_and(|it| write_head(&mut near, &it).is_err()) {
                break;
            }
            let number = {
                let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                let path = |it: &str| it.split('?').next().unwrap_or_default().to_owned();
                let same = |it: &&Seen| {
                    it.head.method == head.method && path(&it.head.target) == path(&head.target)
                };
                let seen = log.iter().filter(same).count();
                log.push(Seen { head: head.clone(), up: 0, status: 0, down: 0 });
                (log.len() - 1, seen)
            };
            let fault = (self.rule)(&head, number.1);
            let goes_on = self.one(&head, number.0, fault, &mut from, &mut near, &mut late);
            if !goes_on.unwrap_or(false) {
                break;
            }
        }
        let _ = near.shutdown(Shutdown::Both);
    }

    fn note(&self, number: usize, change: impl FnOnce(&mut Seen)) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = log.get_mut(number) {
            change(seen);
        }
    }

    /// Returns whether the connection may be used again.
    fn one(
        &self,
        head: &Head,
        number: usize,
        mut fault: Fault,
        from: &mut BufReader<TcpStream>,
        near: &mut TcpStream,
        late: &mut Option<Answer>,
    ) -> io::Result<bool> {
        if fault.silent || fault.request_ends == Some(0) {
            if fault.silent {
                stall(near);
            }
            return Ok(false);
        }
        let up = |bytes: u64| {
            self.total.fetch_add(bytes, Ordering::Relaxed);
            self.note(number, |it| it.up += bytes);
        };
        if let Some((mut answer, body)) = fault.answer.take() {
            self.copy(from, &mut io::sink(), head.length(), &up)?;
            self.note(number, |it| it.status = answer.status);
            answer.put("Content-Length", &body.len().to_string());
            write_head(near, &answer)?;
            if head.method != "HEAD" {
                near.write_all(&body)?;
            }
            return Ok(true);
        }
        let mut chunk = None;
        if head.method == "PATCH" && self.buffers.load(Ordering::Relaxed) {
            let mut whole = Vec::new();
            self.copy(from, &mut whole, head.length(), &up)?;
            if is_gone(near) {
                return Ok(false);
            }
            chunk = Some(whole);
        }
        let far = TcpStream::connect(("127.0.0.1", self.to))?;
        let mut out = far.try_clone()?;
        let mut asked = self.current(head);
        asked.target = fault.target.take().unwrap_or(asked.target);
        out.write_all(forwarded(&asked).as_bytes())?;
        let limit = fault.request_ends.or(fault.request_stalls).unwrap_or(u64::MAX);
        let length = head.length();
        let sent = match &chunk {
            Some(whole) => out.write_all(whole),
            None => self.copy(from, &mut out, length.min(limit), &up),
        };
        if length > limit {
            if fault.request_stalls.is_some() {
                stall(near);
            }
            return Ok(false);
        }
        let mut answers = BufReader::with_capacity(64 << 10, far);
        let Some(mut answer) = read_answer(&mut answers)? else { return Ok(false) };
        self.remember(&answer);
        if fault.lost {
            return Ok(false);
        }
        if let Some(edit) = fault.edits.take() {
            edit(&mut answer);
        }
        self.note(number, |it| it.status = answer.status);
        let whole = self.back(head, number, &fault, &answer, &mut answers, near)?;
        *late = fault.late.then_some(answer);
        Ok(whole && sent.is_ok())
    }

    /// Keeps where an upload goes on: `Location: http://host/PATH?_state=..`.
    fn remember(&self, answer: &Answer) {
        let location = answer.header("location");
        let path = location.find("/v2/").map(|it| &location[it..]).unwrap_or_default();
        if let Some((path, query)) = path.split_once("?_state=") {
            let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
            uploads.insert(path.to_owned(), query.to_owned());
        }
    }

    /// The request with the state that its upload has now.
    fn current(&self, head: &Head) -> Head {
        let mut head = head.clone();
        if self.buffers.load(Ordering::Relaxed)
            && let Some((path, query)) = head.target.split_once("?_state=")
        {
            let uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
            let rest = query.find('&').map(|it| &query[it..]).unwrap_or_default();
            if let Some(state) = uploads.get(path) {
                head.target = format!("{path}?_state={state}{rest}");
            }
        }
        head
    }

    /// Gives the answer back. Returns whether the connection may be used again.
    fn back(
        &self,
        head: &Head,
        number: usize,
        fault: &Fault,
        answer: &Answer,
        answers: &mut BufReader<TcpStream>,
        near: &mut TcpStream,
    ) -> io::Result<bool> {
        let ends = fault.answer_ends.map(|it| (it, false));
        let ends = ends.or(fault.answer_stalls.map(|it| (it, true)));
        // At once: a second one that comes later may be taken for the answer to the next request.
        near.write_all(head_text(answer).repeat(1 + usize::from(fault.twice)).as_bytes())?;
        if head.method == "HEAD" || matches!(answer.status, 204 | 304) {
            return Ok(true);
        }
        let length = answer.header("content-length").parse::<u64>().ok();
        let whole = length.unwrap_or(u64::MAX);
        let limit = ends.map_or(whole, |it| it.0.min(whole));
        let down = |bytes: u64| self.note(number, |it| it.down += bytes);
        if let Some(at) = fault.corrupts.filter(|it| *it < whole) {
            self.copy(answers, near, at, &down)?;
            let mut byte = [0];
            answers.read_exact(&mut byte)?;
            near.write_all(&[byte[0] ^ 1])?;
            self.copy(answers, near, limit - at - 1, &down)?;
        } else {
            self.copy(answers, near, limit, &down)?;
        }
        if limit < whole && ends.is_some_and(|it| it.1) {
            stall(near);
        }
        Ok(length.is_some() && limit == whole)
    }

    /// Copies so many bytes, or all there are.
    fn copy(
        &self,
        from: &mut impl Read,
        to: &mut impl Write,
        count: u64,
        told: &dyn Fn(u64),
    ) -> io::Result<()> {
        let mut left = count;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let got = from.read(&mut buffer[..most])?;
            if got == 0 {
                return if count == u64::MAX {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            told(got as u64);
            to.write_all(&buffer[..got])?;
            left -= got as u64;
            if let Some(micros) =
                (got as u64 * 1_000_000).checked_div(self.rate.load(Ordering::Relaxed))
            {
                thread::sleep(Duration::from_micros(micros));
            }
        }
        Ok(())
    }
}

/// Whether the other side has closed the connection.
fn is_gone(near: &TcpStream) -> bool {
    let _ = near.set_nonblocking(true);
    let gone = matches!(near.peek(&mut [0]), Ok(0));
    let _ = near.set_nonblocking(false);
    gone
}

/// Says nothing until the other side goes.
fn stall(near: &TcpStream) {
    let mut near = near;
    let mut buffer = [0; 4096];
    while matches!(near.read(&mut buffer), Ok(1..)) {}
}

fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let Some((first, headers)) = read_lines(from)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    Ok(Some(Head { method: method.to_owned(), target: target.to_owned(), headers }))
}

fn read_answer(from: &mut impl BufRead) -> io::Result<Option<Answer>> {
    loop {
        let Some((first, headers)) = read_lines(from)? else { return Ok(None) };
        let status = first.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(502);
        if status != 100 {
            return Ok(Some(Answer { status, headers }));
        }
    }
}

type Lines = (String, Vec<(String, String)>);

fn read_lines(from: &mut impl BufRead) -> io::Result<Option<Lines>> {
    let mut first = String::new();
    if from.by_ref().take(64 << 10).read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        from.by_ref().take(64 << 10).read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some((first.trim_end().to_owned(), headers)));
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

fn forwarded(head: &Head) -> String {
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.target);
    for (name, value) in &head.headers {
        if !name.eq_ignore_ascii_case("connection") && !name.eq_ignore_ascii_case("expect") {
            text += &format!("{name}: {value}\r\n");
        }
    }
    text + "Connection: close\r\n\r\n"
}

fn write_head(to: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    to.write_all(head_text(answer).as_bytes())
}

fn head_text(answer: &Answer) -> String {
    let mut text = format!("HTTP/1.1 {} X\r\n", answer.status);
    for (name, value) in &answer.headers {
        if !name.eq_ignore_ascii_case("connection") {
            text += &format!("{name}: {value}\r\n");
        }
    }
    if find(&answer.headers, "content-length").is_empty() && answer.status != 204 {
        text += "Connection: close\r\n";
    }
    text + "\r\n"
}
