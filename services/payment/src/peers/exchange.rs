//! An exchange with the provider as it is seen from outside: its span and its duration.

use http::{Method, StatusCode, Uri};
use telemetry::catalogue::HTTP_CLIENT_DURATION;
use tokio::time::Instant;
use tracing::Span;

/// Who is asked, as telemetry names it.
pub(super) struct Server {
    host: String,
    port: u16,
}

impl Server {
    /// Of an `http://` URL with a host.
    pub(super) fn of(url: &str) -> Self {
        let uri: Uri = url.parse().unwrap_or_default();
        Self { host: uri.host().unwrap_or_default().to_owned(), port: uri.port_u16().unwrap_or(80) }
    }
}

/// A request that has no answer yet.
pub(super) struct Exchange<'a> {
    server: &'a Server,
    method: Method,
    template: &'static str,
    span: Span,
    began: Instant,
}

impl<'a> Exchange<'a> {
    /// `template` is the path without what changes from call to call.
    pub(super) fn begin(
        server: &'a Server,
        method: Method,
        path: &str,
        template: &'static str,
    ) -> Self {
        let span = tracing::info_span!("psp", otel.kind = "client");
        telemetry::span::when_recorded(&span, |it| {
            let Server { host, port } = server;
            it.name(format!("{method} {template}")).set("http.request.method", method.to_string());
            it.set("url.full", format!("http://{host}:{port}{path}")).set("url.template", template);
            it.set("server.address", host.clone()).set("server.port", i64::from(*port));
        });
        Self { server, method, template, span, began: Instant::now() }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// With the status of the answer, if there was one.
    pub(super) fn end(self, status: Option<StatusCode>) {
        let code = status.as_ref().map_or("", StatusCode::as_str);
        let error = match status {
            None => "no_answer",
            Some(status) if status.as_u16() >= 400 => code,
            Some(_) => "",
        };
        telemetry::span::when_recorded(&self.span, |it| {
            if let Some(status) = status {
                it.set("http.response.status_code", i64::from(status.as_u16()));
            }
            if !error.is_empty() {
                it.failed(error.to_owned());
            }
        });
        let (method, port) = (self.method.as_str(), self.server.port.to_string());
        let labels = [&*self.server.host, &*port, method, self.template, code, error];
        let duration = HTTP_CLIENT_DURATION.with_label_values(&labels);
        duration.observe(self.began.elapsed().as_secs_f64());
    }
}
