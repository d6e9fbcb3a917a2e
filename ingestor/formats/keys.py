"""What JSON logs call their fields: key → the nginx variable that tells the same."""

from __future__ import annotations

_NAMES = {
    "any_time": "time_iso8601 time_local timestamp @timestamp time ts datetime date_time date msec "
    "time_msec start_time",
    "remote_addr": "remote_addr client_ip clientip client_addr remote_ip remoteip remote_address "
    "ip ip_address source_ip src_ip client remote_host remoteAddr clientIp remoteIp "
    "remoteIP",
    "http_x_real_ip": "http_x_real_ip x_real_ip real_ip",
    "http_cf_connecting_ip": "http_cf_connecting_ip cf_connecting_ip",
    "http_true_client_ip": "http_true_client_ip true_client_ip",
    "request": "request request_line",
    "request_method": "request_method method verb http_method requestMethod",
    "request_uri": "request_uri",
    "any_target": "requestUri request_url uri url path request_path http_uri",
    "args": "args query_string query request_query",
    "server_protocol": "server_protocol protocol request_protocol request_proto http_version proto",
    "status": "status status_code statusCode response_status http_status response_code response "
    "code",
    # "host" is the machine's name or address in many a log that has one of those before it.
    "host": "http_host request_host vhost virtual_host domain host server_name serverName "
    "authority",
    "http_referer": "http_referer http_referrer referer referrer request_referer",
    "http_user_agent": "http_user_agent user_agent useragent userAgent agent http_agent ua "
    "user-agent",
    "http_x_forwarded_for": "http_x_forwarded_for x_forwarded_for x-forwarded-for xff "
    "forwarded_for",
    "http_accept_language": "http_accept_language accept_language",
    "http_sec_purpose": "http_sec_purpose sec_purpose http_purpose http_x_purpose",
    "http_sec_fetch_dest": "http_sec_fetch_dest sec_fetch_dest",
    "http_sec_fetch_mode": "http_sec_fetch_mode sec_fetch_mode",
    "http_x_requested_with": "http_x_requested_with x_requested_with",
    "http_accept": "http_accept accept",
    "scheme": "scheme request_scheme http_x_forwarded_proto",
}

KEYS = {key: variable for variable, keys in _NAMES.items() for key in keys.split()}
