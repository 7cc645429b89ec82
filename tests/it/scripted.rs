//! A server that gives scripted answers, for the calls of other services than CloudFront.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// The answer to a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A status with its reason, headers, and a body.
    Full(&'static str, &'static [&'static str], String),
    /// A connection that is closed before the answer is complete.
    Cut,
    /// A connection without an answer.
    Hang,
}

/// A server that gives these answers in order, and the last one to all further requests.
pub(crate) struct Scripted {
    pub(crate) endpoint: String,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = requests.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let request = read(&mut stream).await;
                let is_head = request.starts_with("HEAD");
                seen.lock().expect("requests").push(request);
                match answers.get(number).or(answers.last()).expect("an answer").clone() {
                    Answer::Full(status, headers, body) => {
                        let mut lines = vec![format!("HTTP/1.1 {status}"), "Connection: close".to_owned()];
                        lines.extend(headers.iter().map(ToString::to_string));
                        if !is_head {
                            lines.push(format!("Content-Length: {}", body.len()));
                        }
                        let answer = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
                        // The client may stop to read.
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                    Answer::Cut => {
                        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<ListVersionsResult>";
                        stream.write_all(cut.as_bytes()).await.expect("an answer");
                    }
                    Answer::Hang => {
                        tokio::spawn(async move {
                            sleep(Duration::from_mins(1)).await;
                            drop(stream);
                        });
                    }
                }
            }
        });
        Self { endpoint, requests }
    }
}

/// Reads a request with its body, if it has one.
async fn read(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await.expect("a request") == 0 {
            break;
        }
        request.extend(byte);
        if request.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request).to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
            stream.read_exact(&mut body).await.expect("a body");
            request.extend(body);
            break;
        }
    }
    String::from_utf8(request).expect("text")
}
