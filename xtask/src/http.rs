//! Small requests and answers, whole in memory: what stands between strake and a control plane.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read, Write},
    net::TcpStream,
};

/// A request.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// The next request of a connection.
pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some((first, headers)) = lines(from)? else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let length = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(Request { method, target, headers, body }))
}

/// Asks the server at `port` the same.
pub(crate) fn forward(port: u16, request: &Request) -> io::Result<Answer> {
    let mut far = TcpStream::connect(("127.0.0.1", port))?;
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in request.headers.iter().filter(|it| it.0 != "connection") {
        text += &format!("{name}: {value}\r\n");
    }
    far.write_all(format!("{text}connection: close\r\n\r\n").as_bytes())?;
    far.write_all(&request.body)?;
    let mut from = io::BufReader::new(far);
    let Some((first, headers)) = lines(&mut from)? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let status = first.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(502);
    let mut body = Vec::new();
    match headers.get("content-length").and_then(|it| it.parse().ok()) {
        Some(length) => from.take(length).read_to_end(&mut body)?,
        None => from.read_to_end(&mut body)?,
    };
    Ok(Answer { status, body })
}

/// The bytes of an answer. Its date is now, as far as clients have to know.
pub(crate) fn written(answer: &Answer, kind: &str) -> Vec<u8> {
    let length = answer.body.len();
    let head = format!(
        "HTTP/1.1 {} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nDate: {}\r\n\r\n",
        answer.status,
        date()
    );
    [head.as_bytes(), &answer.body].concat()
}

/// `Sat, 21 Nov 2026 08:00:00 GMT`, from the program that every machine has.
fn date() -> String {
    let format = ["-u", "+%a, %d %b %Y %H:%M:%S GMT"];
    let output = std::process::Command::new("date").args(format).env("LC_ALL", "C").output();
    output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned()).unwrap_or_default()
}

type Lines = (String, BTreeMap<String, String>);

fn lines(from: &mut impl BufRead) -> io::Result<Option<Lines>> {
    let mut first = String::new();
    if from.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            None => return Ok(Some((first.trim_end().to_owned(), headers))),
        }
    }
}
