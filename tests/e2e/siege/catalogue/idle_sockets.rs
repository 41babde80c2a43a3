//! Connections by the hundred that ask nothing, from one address.

use alloy::primitives::B256;
use futures::{FutureExt, future::BoxFuture};
use tokio::net::{TcpSocket, TcpStream};

use super::super::{Attacker, field::Field};

/// As long as the attack lasts.
static HELD: std::sync::Mutex<Vec<TcpStream>> = std::sync::Mutex::new(Vec::new());

pub(super) struct IdleSockets;

impl Attacker for IdleSockets {
    fn name(&self) -> &'static str {
        "idle_sockets"
    }

    fn claim(&self) -> &'static str {
        "who only holds connections keeps nobody else from being served"
    }

    fn attack<'a>(&'a self, field: &'a Field, _: u64) -> BoxFuture<'a, Vec<B256>> {
        async {
            let url = field.stack.node.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
            let Ok(to) = url.parse::<std::net::SocketAddr>() else { panic!("{url} is no address") };
            for _ in 0..100 {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
                if let Ok(stream) = socket.connect(to).await {
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
