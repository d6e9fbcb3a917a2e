"""Formats by name, as data: who writes them, the definition, and a line of each.

A definition is written in the server's own language, the same that stands in its configuration:
nginx (``$…``), Apache (``%…``), JSON with nginx variables, or W3C's ``#Fields:``. Some variables
are ours: ``$trailing_fields`` (any further fields), ``$any_time`` (a time of any kind),
``$any_target`` (a target, or only its path, and the query elsewhere),
``$bare_time`` (a local time without its zone), ``$handled_request`` (Caddy's words for a
request that was handled; a line with others is no request) and those that begin with ``$haproxy_``
(what stands behind that, with HAProxy's escapes).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ingestor.formats.keys import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping


class Preset(NamedTuple):
    """A format with a name."""

    name: str
    who: str  # what writes it
    template: str  # the definition
    sample: str  # one line


_CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)
_TIME = "22/Nov/2026:10:11:12 +0100"
_CLF = f'[{_TIME}] "GET /pricing HTTP/2.0" 200 5316'
_TAIL = f'"https://www.example.org/" "{_CHROME}"'
_COMBINED = f"192.0.2.10 - - {_CLF} {_TAIL}"

_NGINX_COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent"'
)
_APACHE_COMMON = '%h %l %u %t "%r" %>s %b'
_APACHE_COMBINED = f'{_APACHE_COMMON} "%{{Referer}}i" "%{{User-Agent}}i"'
_TRAILING = f"{_NGINX_COMBINED}$trailing_fields".replace(" - ", " $ident ")
_NPM_SAMPLE = '- GET https www.example.com "/pricing" [Client 192.0.2.10] [Length 5316] [Gzip 3.12]'

_HAPROXY = (
    "$remote_addr:$remote_port [$bare_time] $frontend_name $backend/$server_name_used $timers "
    "$status $bytes_read $captured_request_cookie $captured_response_cookie "
    '$termination_state $connections $queues$http_captured "$haproxy_request"'
)

# In the order of preference where two explain a file alike.
_PRESETS = (
    Preset(
        "combined",
        "Apache, nginx and most others by default; cPanel's domlogs, LiteSpeed",
        _APACHE_COMBINED,
        _COMBINED,
    ),
    Preset(
        "common", "Apache's and Caddy's Common Log Format", _APACHE_COMMON, f"192.0.2.10 - - {_CLF}"
    ),
    Preset(
        "lighttpd",
        "lighttpd: the vhost where combined has a name that nobody tells",
        '%h %V %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
        f"192.0.2.10 www.example.com - {_CLF} {_TAIL}",
    ),
    Preset(
        "vhost_combined",
        "Apache on Debian, bunkerweb, nginx with `$host` in front",
        f"%v {_APACHE_COMBINED}",
        f"www.example.com:443 {_COMBINED}",
    ),
    Preset(
        "common_vhost",
        "Apache with `%v` in front of the Common Log Format",
        f"%v {_APACHE_COMMON}",
        f"www.example.com 192.0.2.10 - - {_CLF}",
    ),
    Preset(
        "main",
        "nginx's packages and Docker image: combined and X-Forwarded-For",
        f'{_NGINX_COMBINED} "$http_x_forwarded_for"',
        f'{_COMBINED} "198.51.100.7"',
    ),
    Preset(
        "vhost_main",
        "nginx with `$host` in front and X-Forwarded-For at the end",
        f'$host {_NGINX_COMBINED} "$http_x_forwarded_for"',
        f'www.example.com {_COMBINED} "198.51.100.7"',
    ),
    Preset(
        "combinedio",
        "Apache with mod_logio: combined and bytes received and sent",
        f"{_APACHE_COMBINED} %I %O",
        f"{_COMBINED} 812 5790",
    ),
    Preset(
        "ingress_nginx",
        "Kubernetes' ingress-nginx",
        f"{_NGINX_COMBINED} $request_length $request_time [$proxy_upstream_name] "
        "[$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length "
        "$upstream_response_time $upstream_status $req_id",
        f"{_COMBINED} 812 0.004 [default-web-80] [] 10.0.0.12:8080 5316 0.004 200 "
        "8f3c2f6f3f0b4d9da9f5a5f7d8b1c2e3",
    ),
    Preset(
        "traefik_clf",
        "Traefik's common log format",
        f'{_NGINX_COMBINED} $request_count "$router" "$backend" $duration',
        f'{_COMBINED} 271 "web@docker" "http://172.19.0.3:80" 3ms',
    ),
    Preset(
        "nginx_proxy_manager",
        "Nginx Proxy Manager, proxy hosts",
        "[$time_local] $upstream_cache_status $upstream_status $status - $request_method $scheme "
        '$host "$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] '
        '[Sent-to $server] "$http_user_agent" "$http_referer"',
        f"[{_TIME}] - 200 200 {_NPM_SAMPLE} [Sent-to 10.0.0.15] "
        f'"{_CHROME}" "https://www.example.org/"',
    ),
    Preset(
        "nginx_proxy_manager_standard",
        "Nginx Proxy Manager, redirection and dead hosts",
        '[$time_local] $status - $request_method $scheme $host "$request_uri" '
        "[Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] "
        '"$http_user_agent" "$http_referer"',
        f'[{_TIME}] 301 {_NPM_SAMPLE} "{_CHROME}" "https://www.example.org/"',
    ),
    Preset(
        "forwarded_combined",
        "nginx with X-Forwarded-For in front of combined",
        f"$http_x_forwarded_for {_NGINX_COMBINED}",
        f"198.51.100.7, 203.0.113.9 {_COMBINED}",
    ),
    Preset(
        "forwarded_combined_quoted",
        "Apache behind a balancer: X-Forwarded-For in quotes in front of combined",
        f'"%{{X-Forwarded-For}}i" {_APACHE_COMBINED}',
        f'"198.51.100.7, 203.0.113.9" {_COMBINED}',
    ),
    Preset(
        "combined_trailing",
        "combined and any further fields",
        _TRAILING,
        f'{_COMBINED} 0.012 "HIT" TLSv1.3',
    ),
    Preset(
        "main_trailing",
        "combined, X-Forwarded-For and any further fields",
        f'{_NGINX_COMBINED} "$http_x_forwarded_for"$trailing_fields',
        f'{_COMBINED} "198.51.100.7" rt=0.012 uct="0.001"',
    ),
    Preset(
        "vhost_combined_trailing",
        "combined with the host in front and any further fields: nginx-proxy and others",
        f"$host {_TRAILING}",
        f'www.example.com {_COMBINED} "172.18.0.4:80"',
    ),
    Preset(
        "plesk",
        "Plesk's Apache: combined with the bytes really sent",
        '%a %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"',
        _COMBINED,
    ),
    Preset(
        "cpanel",
        "cPanel's Apache: combined with the host in front and the port",
        '%v:%p %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
        f"www.example.com:443 {_COMBINED}",
    ),
    Preset(
        "ispconfig",
        "ISPConfig's Apache: the host in front and the bytes really sent",
        '%v %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"',
        f"www.example.com {_COMBINED}",
    ),
    Preset(
        "litespeed",
        "LiteSpeed and OpenLiteSpeed",
        '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
        _COMBINED,
    ),
    Preset(
        "haproxy",
        "HAProxy's `option httplog`; needs `timezone`",
        _HAPROXY,
        "192.0.2.10:33317 [22/Nov/2026:10:11:12.655] http-in static/srv1 10/0/30/69/109 200 2750 "
        '- - ---- 1/1/1/1/0 0/0 {www.example.com} {} "GET /pricing HTTP/1.1"',
    ),
    Preset(
        "haproxy_https",
        "HAProxy's `option httpslog`; needs `timezone`",
        f"{_HAPROXY} $errors $tls",
        "192.0.2.10:33317 [22/Nov/2026:10:11:12.655] https-in~ static/srv1 10/0/30/69/109 200 2750 "
        '- - ---- 1/1/1/1/0 0/0 {www.example.com} {} "GET https://www.example.com/pricing '
        'HTTP/2.0" 0/0000000000000000/0/0/0 www.example.com/TLSv1.3/TLS_AES_256_GCM_SHA384',
    ),
    Preset(
        "envoy",
        "Envoy's default",
        '[$time_iso8601] "$request" $status $response_flags $bytes_received $bytes_sent '
        '$duration $upstream_service_time "$http_x_forwarded_for" "$http_user_agent" '
        '"$request_id" "$host" "$upstream_host"',
        '[2026-11-22T09:11:12.310Z] "GET /pricing HTTP/2" 200 - 0 5316 226 100 "192.0.2.10" '
        f'"{_CHROME}" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "www.example.com" '
        '"10.0.2.1:80"',
    ),
    Preset(
        "aws_alb",
        "AWS Application Load Balancer",
        "$scheme $time_iso8601 $elb $remote_addr:$remote_port $target $times1 $times2 $times3 "
        '$status $target_status $received_bytes $sent_bytes "$request" "$http_user_agent" '
        '$ssl_cipher $ssl_protocol $target_group_arn "$trace_id" "$host" "$chosen_cert_arn" '
        "$matched_rule_priority $request_creation_time$trailing_fields",
        "https 2026-11-22T09:11:12.948827Z app/web/490d68edf04676fe 192.0.2.10:44760 "
        '10.0.0.66:9000 0.000 0.002 0.000 200 200 5 257 "GET https://www.example.com:443/pricing '
        f'HTTP/2.0" "{_CHROME}" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 '
        "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/web/73e2d6bc24d8a067 "
        '"Root=1-58337327-72bd00b0343d75b906739c43" "www.example.com" "session-reused" 1 '
        '2026-11-22T09:11:12.364000Z "forward" "-" "-" "10.0.0.66:9000" "200" "-" "-"',
    ),
    Preset(
        "caddy",
        "Caddy's JSON",
        '{"ts": "$any_time", "time": "$any_time", "timestamp": "$any_time", '
        '"@timestamp": "$any_time", "msg": "$handled_request", "message": "$handled_request", '
        '"request": {"client_ip": "$remote_addr", '
        '"remote_ip": "$realip_remote_addr", "remote_addr": "$realip_remote_addr:$remote_port", '
        '"proto": "$server_protocol", "method": "$request_method", "host": "$host", '
        '"uri": "$request_uri", "headers": {"User-Agent": ["$http_user_agent"], '
        '"Referer": ["$http_referer"], "X-Forwarded-For": ["$http_x_forwarded_for"], '
        '"X-Real-Ip": ["$http_x_real_ip"], "Cf-Connecting-Ip": ["$http_cf_connecting_ip"], '
        '"True-Client-Ip": ["$http_true_client_ip"], '
        '"Accept-Language": ["$http_accept_language"], "Sec-Purpose": ["$http_sec_purpose"], '
        '"Purpose": ["$http_purpose"], "X-Moz": ["$http_x_moz"], '
        '"Sec-Fetch-Dest": ["$http_sec_fetch_dest"], "Sec-Fetch-Mode": ["$http_sec_fetch_mode"], '
        '"X-Requested-With": ["$http_x_requested_with"], "Accept": ["$http_accept"]}}, '
        '"status": "$status", '
        '"common_log": "$remote_addr - $remote_user [$time_local] \\"$request\\" $status '
        '$body_bytes_sent"}',
        '{"level":"info","ts":1795338672.6825173,"logger":"http.log.access","msg":"handled '
        'request","request":{"remote_ip":"192.0.2.10","remote_port":"41844","client_ip":'
        '"192.0.2.10","proto":"HTTP/2.0","method":"GET","host":"www.example.com","uri":"/pricing",'
        f'"headers":{{"User-Agent":["{_CHROME}"],"Referer":["https://www.example.org/"]}}}},'
        '"duration":0.000455129,"size":5316,"status":200}',
    ),
    Preset(
        "traefik",
        "Traefik's JSON",
        '{"ClientHost": "$remote_addr", "ClientAddr": "$realip_remote_addr:$remote_port", '
        '"StartUTC": "$any_time", "time": "$any_time", "RequestHost": "$host", "RequestAddr": '
        '"$http_host", "RequestMethod": "$request_method", "RequestPath": "$request_uri", '
        '"RequestProtocol": "$server_protocol", "RequestScheme": "$scheme", '
        '"DownstreamStatus": "$status", "request_User-Agent": "$http_user_agent", '
        '"request_Referer": "$http_referer", "request_X-Forwarded-For": "$http_x_forwarded_for", '
        '"request_X-Real-Ip": "$http_x_real_ip", '
        '"request_Cf-Connecting-Ip": "$http_cf_connecting_ip", '
        '"request_True-Client-Ip": "$http_true_client_ip", '
        '"request_Accept-Language": "$http_accept_language", '
        '"request_Sec-Purpose": "$http_sec_purpose", '
        '"request_Sec-Fetch-Dest": "$http_sec_fetch_dest", '
        '"request_Sec-Fetch-Mode": "$http_sec_fetch_mode", '
        '"request_X-Requested-With": "$http_x_requested_with", "request_Accept": "$http_accept"}',
        '{"ClientAddr":"192.0.2.10:39490","ClientHost":"192.0.2.10","DownstreamStatus":200,'
        '"RequestHost":"www.example.com","RequestMethod":"GET","RequestPath":"/pricing",'
        '"RequestProtocol":"HTTP/2.0","RequestScheme":"https","StartUTC":'
        '"2026-11-22T09:11:12.463464757Z","level":"info","msg":"",'
        f'"request_User-Agent":"{_CHROME}","request_Referer":"https://www.example.org/",'
        '"time":"2026-11-22T10:11:12+01:00"}',
    ),
    Preset(
        "json",
        "nginx with `escape=json`, and other JSON with usual names for its keys",
        "{" + ", ".join(f'"{key}": "${variable}"' for key, variable in KEYS.items()) + "}",
        '{"time_iso8601":"2026-11-22T10:11:12+01:00","remote_addr":"192.0.2.10","request":'
        '"GET /pricing HTTP/2.0","status":200,"host":"www.example.com","http_referer":'
        f'"https://www.example.org/","http_user_agent":"{_CHROME}"}}',
    ),
    Preset(
        "iis",
        "IIS; a `#Fields:` line in the file decides",
        "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip "
        "cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken",
        "2026-11-22 09:11:12 198.51.100.2 GET /pricing - 443 - 192.0.2.10 "
        f"{_CHROME.replace(' ', '+')} https://www.example.org/ 200 0 0 15",
    ),
    Preset(
        "cloudfront",
        "AWS CloudFront; a `#Fields:` line in the file decides",
        "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status "
        "cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id "
        "x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher "
        "x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port "
        "time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len "
        "sc-range-start sc-range-end",
        "\t".join(
            "2026-11-22 09:11:12 FRA56-P4 5790 192.0.2.10 GET d111111abcdef8.cloudfront.net "
            f"/pricing 200 https://www.example.org/ {_CHROME.replace(' ', '%20')} - - Hit "
            "SOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ== www.example.com https 812 "
            "0.001 - TLSv1.3 TLS_AES_128_GCM_SHA256 Hit HTTP/2.0 - - 44760 0.001 Hit text/html "
            "5316 - -".split(" ")
        ),
    ),
    Preset(
        "w3c",
        "W3C extended logs; a `#Fields:` line in the file decides",
        "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status cs(Referer) "
        "cs(User-Agent)",
        f"2026-11-22 09:11:12 192.0.2.10 GET /pricing - 200 - {_CHROME.replace(' ', '+')}",
    ),
)

_ALIASES = {
    "vhost_common": "common_vhost",
    "nginx": "combined",
    "apache": "combined",
    "docker_nginx": "main",
    "npm": "nginx_proxy_manager",
    "haproxy_http": "haproxy",
    "httplog": "haproxy",
    "httpslog": "haproxy_https",
    "caddy_json": "caddy",
    "caddy_clf": "common",
    "traefik_json": "traefik",
    "nginx_json": "json",
    "alb": "aws_alb",
}

_BY_NAME = {preset.name: preset for preset in _PRESETS}

PRESETS: Mapping[str, Preset] = MappingProxyType(
    _BY_NAME | {alias: _BY_NAME[name]._replace(name=alias) for alias, name in _ALIASES.items()}
)
