//! Requests that are begun and never ended.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
};

use super::super::{Attacker, field::Field};

/// As long as the attack lasts.
static HELD: std::sync::Mutex<Vec<TcpStream>> = std::sync::Mutex::new(Vec::new());

pub(super) struct SlowRequests;

impl Attacker for SlowRequests {
    fn name(&self) -> &'static str {
        "slow_requests"
    }

    fn claim(&self) -> &'static str {
        "a request that does not come to its end holds nobody up"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let to = field.stack.node.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
            for _ in 0..40 {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
                if let Ok(mut stream) = socket.connect(to.parse().unwrap()).await {
                    let _ = stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{").await;
                    HELD.lock().unwrap().push(stream);
                }
            }
            Vec::new()
        }
        .boxed()
    }

    fn aftermath<'a>(&'a self, field: &'a Field) -> BoxFuture<'a, Result<(), String>> {
        async {
            HELD.lock().unwrap().clear();
            field.stack.node.ask("eth_chainId", vec![]).await.map(|_| ()).map_err(|error| error.to_string())
        }
        .boxed()
    }
}
