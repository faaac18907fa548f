//! The way to moto: it writes down what is asked, gives each login a number and an end in the future, and
//! refuses where a case wants that. moto's own logins all have one name and a date long past.

use crate::http;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// One call of the control plane.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) action: String,
    /// What it was signed for.
    pub(super) region: String,
    /// Who signed it.
    pub(super) key: String,
    pub(super) body: Value,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    life: Duration,
    deny: bool,
    /// Whether tags stay, by repository.
    repositories: BTreeMap<String, bool>,
    /// By number.
    logins: Vec<Login>,
    /// How long the next login is good for, whatever it says.
    next: Option<Duration>,
    /// How the next calls fail: a status and a code; without one by a lost connection.
    failures: Vec<Option<(u16, &'static str)>>,
}

struct Login {
    until: Instant,
    /// Whether somebody else asked for it.
    handed: bool,
}

/// Whether a login is good.
pub(super) enum Standing {
    Good,
    Expired,
    Unknown,
}

/// The running way.
pub(super) struct Control {
    pub(super) port: u16,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    pub(super) fn start(moto: u16) -> Result<Control, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|it| it.to_string())?;
        let port = listener.local_addr().map_err(|it| it.to_string())?.port();
        let life = Duration::from_secs(43_200);
        let state = Arc::new(Mutex::new(State { life, ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(near, moto, &state));
            }
        });
        Ok(Control { port, state })
    }

    /// How long logins live from now on.
    pub(super) fn lives(&self, life: Duration) {
        lock(&self.state).life = life;
    }

    /// The next login is taken back after so long, whatever it says.
    pub(super) fn revoke_after(&self, time: Duration) {
        lock(&self.state).next = Some(time);
    }

    /// Whether nobody may log in.
    pub(super) fn deny(&self, deny: bool) {
        lock(&self.state).deny = deny;
    }

    /// The next calls fail so, the last one first.
    pub(super) fn fail(&self, failures: &[Option<(u16, &'static str)>]) {
        lock(&self.state).failures = failures.to_vec();
    }

    /// A login as somebody else would get it, good for so long.
    pub(super) fn hand_out(&self, life: Duration) -> String {
        let mut state = lock(&self.state);
        let until = Instant::now() + life;
        state.logins.push(Login { until, handed: true });
        format!("aws-token-{}", state.logins.len() - 1)
    }

    pub(super) fn calls(&self, action: &str) -> Vec<Call> {
        lock(&self.state).calls.iter().filter(|it| it.action == action).cloned().collect()
    }

    /// Whether the repository is there, and whether its tags stay.
    pub(super) fn repository(&self, name: &str) -> Option<bool> {
        lock(&self.state).repositories.get(name).copied()
    }

    /// Whether this is the login of somebody else.
    pub(super) fn is_handed(&self, password: &str) -> bool {
        let state = lock(&self.state);
        number(password).and_then(|it| state.logins.get(it)).is_some_and(|it| it.handed)
    }

    /// Uses a login: the password of `Basic`.
    pub(super) fn standing(&self, password: &str) -> Standing {
        let number = number(password);
        let state = lock(&self.state);
        let Some(login) = number.and_then(|it| state.logins.get(it)) else {
            return Standing::Unknown;
        };
        if login.until > Instant::now() { Standing::Good } else { Standing::Expired }
    }
}

fn number(password: &str) -> Option<usize> {
    password.strip_prefix("aws-token-")?.parse().ok()
}

/// One connection, request by request.
fn serve(near: TcpStream, moto: u16, state: &Mutex<State>) {
    let Ok(reading) = near.try_clone() else { return };
    let (mut from, mut near) = (BufReader::new(reading), near);
    while let Ok(Some(request)) = http::read(&mut from) {
        let call = read(&request);
        let action = call.action.clone();
        let body = call.body.clone();
        let (deny, failure) = {
            let mut state = lock(state);
            state.calls.push(call);
            (state.deny && action == "GetAuthorizationToken", state.failures.pop())
        };
        let answer = if let Some(failure) = failure {
            let Some((status, code)) = failure else { return };
            let body = json!({ "__type": code, "message": "Rate exceeded" });
            http::Answer { status, body: body.to_string().into_bytes() }
        } else if deny {
            let message = "User: arn:aws:sts::123456789012:assumed-role/ci/runner is not authorized \
                to perform: ecr:GetAuthorizationToken on resource: * because no identity-based \
                policy allows the ecr:GetAuthorizationToken action";
            let body = json!({ "__type": "AccessDeniedException", "message": message });
            http::Answer { status: 400, body: body.to_string().into_bytes() }
        } else {
            let Ok(answer) = http::forward(moto, &request) else { return };
            changed(&action, &body, answer, state)
        };
        if near.write_all(&http::written(&answer, "application/x-amz-json-1.1")).is_err() {
            return;
        }
    }
}

fn read(request: &http::Request) -> Call {
    let target = request.header("x-amz-target");
    let action = target.rsplit('.').next().unwrap_or_default().to_owned();
    // `Credential=KEY/DATE/REGION/SERVICE/aws4_request`
    let signed = request.header("authorization").split("Credential=").nth(1).unwrap_or_default();
    let mut scope = signed.split('/');
    let (key, region) = (scope.next().unwrap_or_default(), scope.nth(1).unwrap_or_default());
    let body = serde_json::from_slice(&request.body).unwrap_or_default();
    Call { action, region: region.to_owned(), key: key.to_owned(), body }
}

/// moto's answer as the cases need it.
fn changed(
    action: &str,
    asked: &Value,
    answer: http::Answer,
    state: &Mutex<State>,
) -> http::Answer {
    let mut state = lock(state);
    if answer.status != 200 {
        return answer;
    }
    if action == "CreateRepository" {
        let name = asked["repositoryName"].as_str().unwrap_or_default().to_owned();
        state.repositories.insert(name, asked["imageTagMutability"] == "IMMUTABLE");
        return answer;
    }
    if action != "GetAuthorizationToken" {
        return answer;
    }
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let data = &mut body["authorizationData"][0];
    let token = format!("AWS:aws-token-{}", state.logins.len());
    data["authorizationToken"] = crate::noise::base64(token.as_bytes()).into();
    let life = state.life;
    let expires = UNIX_EPOCH.elapsed().unwrap_or_default() + life;
    data["expiresAt"] = expires.as_secs().into();
    let life = state.next.take().unwrap_or(life);
    state.logins.push(Login { until: Instant::now() + life, handed: false });
    http::Answer { body: body.to_string().into_bytes(), ..answer }
}
