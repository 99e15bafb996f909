//! What a unary call costs in CPU time, both ends together: bare tonic in plain text, bare tonic
//! with mutual TLS, and `rpc` with everything it does. The figures of ADR 0003 come from here:
//!
//! ```text
//! cargo run --release -p rpc --example cost
//! cargo run --release -p rpc --example cost untraced    # without OpenTelemetry in the process
//! ```

use std::fs;
use std::path::Path;
use std::time::Duration;

use certs::Authority;
use rpc::{Identity, Routes, ServerOptions, tls};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::client::GrpcService;
use tonic::codegen::{Body, Bytes, StdError};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Server, ServerTlsConfig};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CALLS: u32 = 20_000;
const ROUNDS: usize = 5;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let authority = Authority::open_or_create(dir.path())?;
    authority.issue("product", dir.path().join("product"))?;
    authority.issue("operator", dir.path().join("operator"))?;
    let settings = telemetry::Options { log: "warn".to_owned(), ..telemetry::Options::default() };
    if std::env::args().nth(1).as_deref() != Some("untraced") {
        // Nothing is exported, so there is nothing to flush.
        let _guard = telemetry::init("cost", &settings)?;
    }

    let plain = HealthClient::new(bare(dir.path(), false).await?);
    let secure = HealthClient::new(bare(dir.path(), true).await?);
    let ours = HealthClient::new(ours(dir.path()).await?);
    println!("CPU µs per unary call, client and server together; best of {ROUNDS}");
    println!(
        "{:>10} {:>14} {:>14} {:>14}",
        "in flight", "tonic, plain", "tonic, mTLS", "rpc, mTLS"
    );
    for in_flight in [1, 32] {
        let mut best = [f64::MAX; 3];
        for _ in 0..ROUNDS {
            best[0] = best[0].min(measure(&plain, in_flight).await?);
            best[1] = best[1].min(measure(&secure, in_flight).await?);
            best[2] = best[2].min(measure(&ours, in_flight).await?);
        }
        println!("{in_flight:>10} {:>14.1} {:>14.1} {:>14.1}", best[0], best[1], best[2]);
    }
    Ok(())
}

async fn measure<T>(client: &HealthClient<T>, in_flight: u32) -> Result<f64>
where
    T: GrpcService<tonic::body::Body> + Clone + Send + 'static,
    T::Error: Into<StdError>,
    T::Future: Send,
    T::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as Body>::Error: Into<StdError> + Send,
{
    let before = cpu()?;
    let callers: Vec<_> = (0..in_flight)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move {
                for _ in 0..CALLS / in_flight {
                    client.check(HealthCheckRequest::default()).await?;
                }
                Ok::<_, tonic::Status>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    let calls = CALLS / in_flight * in_flight;
    Ok((cpu()? - before).as_secs_f64() * 1e6 / f64::from(calls))
}

/// tonic's own server and channel.
async fn bare(dir: &Path, tls: bool) -> Result<tonic::transport::Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (_reporter, health) = tonic_health::server::health_reporter();
    let mut server = Server::builder();
    let scheme = if tls { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?.tcp_nodelay(true);
    if tls {
        let (authority, product) = pem(&dir.join("product"))?;
        let config = ServerTlsConfig::new().identity(product).client_ca_root(authority);
        server = server.tls_config(config)?;
        let (authority, operator) = pem(&dir.join("operator"))?;
        let config = ClientTlsConfig::new().identity(operator).ca_certificate(authority);
        endpoint = endpoint.tls_config(config.domain_name("product"))?;
    }
    let incoming = tokio_stream::StreamExt::map(TcpListenerStream::new(listener), |accepted| {
        accepted.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
    });
    tokio::spawn(server.add_service(health).serve_with_incoming(incoming));
    Ok(endpoint.connect().await?)
}

fn pem(dir: &Path) -> Result<(Certificate, tonic::transport::Identity)> {
    let read = |name: &str| fs::read(dir.join(name));
    let identity = tonic::transport::Identity::from_pem(read("cert.pem")?, read("key.pem")?);
    Ok((Certificate::from_pem(read("ca.pem")?), identity))
}

async fn ours(dir: &Path) -> Result<rpc::Channel> {
    let load = |name: &str| Identity::load(&tls::Options { tls_dir: dir.join(name) });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let targets = listener.local_addr()?.to_string().parse()?;
    let options = ServerOptions::default();
    let server = load("product")?;
    tokio::spawn(rpc::serve(
        listener,
        server,
        Routes::default(),
        options,
        CancellationToken::new(),
    ));
    Ok(rpc::connect("product", &targets, &load("operator")?))
}

/// User and system time of this process so far.
fn cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().ok_or("no such field")?;
    let mut ticks = 0;
    for field in fields.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u64>()?;
    }
    // Linux counts in hundredths of a second, whatever the kernel's own tick is.
    Ok(Duration::from_millis(ticks * 10))
}
