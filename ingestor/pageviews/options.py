"""What an operator can say about page views; the defaults here are the documented ones.

For paths, hosts, addresses, user agents and referrers there are two lists each: what matches
``include_…`` counts whatever ``exclude_…`` says, what matches ``exclude_…`` does not count, and
everything else counts. So ``exclude_paths: ["*"]`` with ``include_paths: [/blog/*]`` counts the
blog alone. The notation of patterns is that of `patterns.py`; addresses are CIDR networks.
"""

from __future__ import annotations

from dataclasses import dataclass

# By extension, without the dot. What a browser fetches by itself, and files that are downloaded
# rather than looked at. No txt and xml: people read the one, sitemaps and feeds are paths below.
# No ai and br: paths hold the names of hosts (claude.ai, uol.com.br).
ASSETS = (
    # style and script, and what ASP.NET makes of it
    "css", "xsl", "js", "mjs", "cjs", "map", "ts", "jsx", "tsx", "vue", "wasm", "scss", "less",
    "unityweb", "axd", "ashx",
    # pictures
    "png", "jpg", "jpeg", "jpe", "gif", "svg", "svgz", "ico", "cur", "webp", "avif", "bmp",
    "apng", "jxl", "heic", "tif", "tiff", "psd", "eps", "jp2", "jfif", "djvu",
    # models and drawings
    "glb", "gltf", "ktx2", "usdz", "stl", "dwg", "dxf",
    # fonts
    "woff", "woff2", "ttf", "otf", "eot",
    # sound and film
    "mp3", "ogg", "oga", "ogv", "opus", "wav", "flac", "aac", "m4a", "m4v", "mp4", "mpg", "mpeg",
    "webm", "avi", "mov", "mkv", "wmv", "flv", "m3u8", "m4s", "mpd", "vtt", "srt", "swf", "wma",
    "3gp", "m3u", "aiff", "mid", "f4v", "cmfv", "cmfa",
    # data
    "json", "jsonld", "data", "geojson", "webmanifest", "manifest", "appcache", "csv", "ics", "vcf",
    "pbf", "mvt", "kml", "gpx", "dat", "bin", "topojson", "pmtiles", "ndjson", "jsonl",
    "xsd", "dtd",
    # what Pagefind searches in
    "pf_meta", "pf_index", "pf_filter", "pf_fragment", "pagefind",
    # documents and downloads
    "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "odp", "rtf", "epub", "mobi",
    "zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar", "tar", "jar", "war", "deb", "rpm",
    "apk", "ipa", "exe", "msi", "dmg", "pkg", "iso", "img", "torrent", "asc", "sig", "crx", "xpi",
    "docm", "xlsm", "ppsx", "fb2", "azw3", "whl", "md5", "sha256", "pem", "crt",
    "dsc", "udeb", "appimage", "msix", "aab", "qcow2", "vmdk", "ova", "nupkg", "lz4", "lzma",
    "sha1", "sha512", "gpg", "zsync",
    # leftovers of backups and deployments, only ever asked for by scanners
    "sql", "bak", "old", "swp", "env", "log", "ini", "conf", "yml", "yaml", "toml", "lock",
)  # fmt: skip

PATHS = (
    # for robots and browsers, not for people
    "*/robots.txt", "*sitemap*.xml", "*sitemap*.txt", "*/ads.txt", "*/app-ads.txt",
    "*/humans.txt", "*/llms*.txt", "*/security.txt", "*/crossdomain.xml", "*/browserconfig.xml",
    "*/wlwmanifest.xml", "*/opensearch.xml", "*/.well-known/*",
    # feeds: of /rss, /atom and /feeds only what no topic is called by (/wiki/RSS, /tag/atom)
    "*/feed", "*/feed/", "*/feed/atom", "*/feed/atom/", "*/feed/rss", "*/feed/rss/",
    "*/feed/rss2", "*/feed/rss2/", "*/feed/rdf", "*/feed/rdf/",
    "/feeds/*", "/blog/feeds/*", "/news/feeds/*", "/??/feeds/*", "*/feeds/posts/*",
    "*/feeds/comments/*",
    "*/feed/json", "*/feed/json/", "*/feed/podcast", "*/feed/podcast/",
    "/rss", "/rss/", "/blog/rss", "/blog/rss/", "/news/rss", "/news/rss/", "/??/rss", "/??/rss/",
    "/atom", "/atom/", "/blog/atom", "/blog/atom/", "/news/atom", "/news/atom/",
    "*.rss", "*.atom", "*.rdf",
    "*/feed.xml", "*/feed.php", "*/rss.xml", "*/rss2.xml", "*/rss.php", "*/atom.xml",
    "*/atom.php", "*/feeds.xml", "*/index.xml", "*/podcast.xml",
    # health checks
    "/health", "/health/live", "/health/liveness", "/health/ready", "/health/readiness",
    "/health/startup", "/health/check", "/health/status", "/health/ping",
    "/healthz", "/healthz/*", "/health-check", "/healthcheck",
    "/health_check", "/health.php", "/health.html", "/_health", "/_healthz", "/-/health",
    "/-/healthy", "/-/ready", "/livez", "/readyz", "/liveness", "/readiness", "/heartbeat",
    "/ping", "/server-status", "/server-info", "/nginx_status", "/nginx-status", "/stub_status",
    "/basic_status", "/fpm-status", "/fpm-ping", "/metrics",
    "/actuator", "/actuator/health", "/actuator/health/*", "/actuator/info", "/actuator/env",
    "/actuator/prometheus", "/actuator/heapdump", "/actuator/gateway/*",
    # programs talking to programs
    r"re:(?i)^/api/(?!.*\.html?$)",  # no interface, but its description: Javadoc, Sphinx
    "*/wp-json", "*/wp-json/*", "*/wp-admin", "*/wp-admin/*", "*/wp-login.php",
    "*/wp-includes/*", "*/wp-content/*.php", "*/xmlrpc.php", "*/wp-cron.php",
    "/graphql", "/v?/graphql", "/graphql/execute.json/*", "/socket.io", "/socket.io/*",
    "/autodiscover/*", "*/matomo.php", "*/piwik.php", "*/g/collect",
    # what the pages of widespread software load, some of it every minute: MediaWiki, DokuWiki,
    # ASP.NET, Moodle, phpBB, MyBB, Magento, React Router, Astro, Drupal, Joomla, Discourse,
    # Nextcloud, Forgejo, GitLab, Matrix, Shopware, Nuxt, SvelteKit, TanStack
    "*/load.php", "/api.php", "/w/api.php", "/wiki/api.php", "/mediawiki/api.php", "*/rest.php/*",
    "*/lib/exe/css.php", "*/lib/exe/js.php", "*/lib/exe/ajax.php", "*/lib/exe/fetch.php*",
    "*/lib/exe/indexer.php", "*/lib/exe/taskrunner.php", "*/lib/exe/jquery.php",
    "*/lib/exe/manifest.php",
    "/bundles/jquery", "/bundles/jqueryval", "/bundles/jqueryui", "/bundles/bootstrap",
    "/bundles/modernizr", "/bundles/msajaxjs",
    "/bundles/webformsjs", "/content/css",
    "*/theme/*.php/*", "*/theme/yui_combo.php*", "*/lib/javascript.php/*",
    "*/lib/requirejs.php/*", "*/pluginfile.php/*",
    "*/download/file.php", "*/cron.php", "*/cron/cron.task*", "*/task.php",
    "*/customer/section/load", "*/customer/section/load/", "*/page_cache/block/*",
    "/__manifest", "/_server-islands/*", "*/views/ajax", "*/component/ajax/*",
    "/session/csrf", "/session/token", "/presence/get", "/jsonapi", "/jsonapi/*",
    "*/opensearch_desc.php",
    "/cdn-cgi/*", "/_next/webpack-hmr", "/_ah/*", "/__/auth/*",
    "*/ocs/v?.php/*", "*/remote.php/*", "*/public.php/*", "*/csrftoken", "*/core/preview",
    r"re:/avatars?/(?:[0-9a-f]{32}|[0-9a-f]{64}|[^/]+/(?:64|512)(?:/dark)?)$",
    "*/realtime_changes", "/-/readiness", "/-/liveness", "/_matrix/*", "/_synapse/*",
    "*/signalr/negotiate", "*/signalr/connect", "*/signalr/start", "*/signalr/ping",
    "*/signalr/poll", "*/signalr/hubs", "/_blazor", "/_blazor/*",
    "/rest/v1/*", "/rest/??/v1/*", "/rest/default/v1/*",
    "*/widgets/checkout/info", "*/widgets/index/refreshstatistic", "/store-api/*",
    "/_serverfn/*", "/_app/remote/*", "/_vercel/*",
    # pictures made to measure, programs pressed by brotli
    "*/_next/image", "/_image", "/_ipx/*", "*.wasm.br", "*.js.br", "*.data.br",
    # what scanners try, and pages of one address for all (index.html) answer with 200
    "/.*", "*/.env.*", "*/.git/*", "*/.svn/*", "*/.aws/*", "*/.ssh/*", "*/.vscode/*",
    "*/.ds_store", "*/.htpasswd", "*/wp-config.php", "*/wp-config.php.*", "*/wp-config.bak",
    "*/wp-config.old", "*/wp-config.txt",
    "*/wp-config.php~", "*/wp-config-sample.php",
    "*/phpinfo.php", "*/vendor/phpunit/*", "*/eval-stdin.php",
    "/cgi-bin/luci*", "/hnap1", "/hnap1/*", "/boaform/*", "/solr/admin/*", "/_profiler/*",
    "/owa/auth/*",
)  # fmt: skip

# By name, or as ``name=value``: what a page's own scripts ask for at the same paths as people.
PARAMETERS = (
    "_rsc", "_data",  # Next.js (of every link in sight, as soon as it is) and Remix
    "rest_route", "wc-ajax", "feed=rss*", "feed=atom", "feed=rdf", "feed=feed", "feed=json*",
    "feed=comments-*", "feed=podcast",  # WordPress
    "wordfence_lh", "wordfence_syncattackdata",
    "option=com_ajax", "format=feed", "format=rss", "format=atom",  # Joomla and others
    "_format=json", "_wrapper_format=drupal_*", "isajax=1", "isajax=true",  # Drupal, Magento
    "action=dlattach*", "action=.xml*",  # SMF
    "css=public:*", "sheet=*.css*",  # XenForo and vBulletin
    "_remote=1", "ctype=text/*",  # Roundcube, MediaWiki
    "_=1????????????", "callback=jquery*",  # jQuery: milliseconds against the cache, and JSONP
    "ajax=1", "ajax=true", "is_ajax=1", "from-xhr", "format=json",
)  # fmt: skip

SECRETS = (
    "*token*", "*password*", "*passwd*", "*passphrase*", "pass", "pwd", "*_pwd", "*secret*",
    "key", "*_key", "*-key", "*.key", "*apikey*", "*api-key*", "*api_key*", "*accesskey*",
    "*authkey*", "*privatekey*", "*licensekey*", "*resetkey*",
    "*session*", "sid", "*_sid", "*jsessionid*", "*sessid*", "cfid", "cftoken",
    "*email*", "*e-mail*", "*e_mail*", "mail", "*_mail", "phone", "*_phone", "telephone",
    "code", "authcode", "auth_code", "*authorization*", "*verification*", "*activation*",
    "*invit*code*", "*otp*code*", "otp", "*_otp", "totp", "pin", "*mfa*",
    "auth", "*_auth", "auth_*", "authkey", "bearer", "*credential*", "*login_hint*", "login",
    "username", "user_name", "passcode", "*signature*", "sig", "*_sig", "hmac", "*_hmac",
    "nonce", "*_nonce", "ticket", "*samlresponse*", "*samlrequest*", "assertion", "jwt", "*_jwt",
    "*csrf*", "*xsrf*", "*ssn*id", "iban", "*card*number*", "cvv", "cvc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageViewOptions:
    """Which hits are page views, and what is sent of them."""

    methods: tuple[str, ...] = ("GET",)
    # Codes, ranges, and with "!" what is not meant. 304: the browser showed its own copy.
    statuses: tuple[str, ...] = ("200-299", "304", "!204", "!206")
    assets: tuple[str, ...] = ASSETS  # extensions that are no page; include_paths wins over it

    include_paths: tuple[str, ...] = ()
    exclude_paths: tuple[str, ...] = PATHS
    exclude_parameters: tuple[str, ...] = PARAMETERS  # of the query: a name, or name=value
    include_hosts: tuple[str, ...] = ()  # the vhost, lower case, without port
    exclude_hosts: tuple[str, ...] = ()
    include_addresses: tuple[str, ...] = ()  # CIDR: 192.0.2.0/24, 2001:db8::/32, or one address
    exclude_addresses: tuple[str, ...] = ()
    include_user_agents: tuple[str, ...] = ()
    exclude_user_agents: tuple[str, ...] = ()
    include_referrers: tuple[str, ...] = ()  # as logged; without a slash: the referrer's host
    exclude_referrers: tuple[str, ...] = ()

    filter_bots: bool = True
    also_bots: tuple[str, ...] = ()  # user agents that are bots as well
    never_bots: tuple[str, ...] = ()  # user agents that are people; wins over also_bots
    require_user_agent: bool = True  # a hit without one is no page view
    filter_prefetch: bool = True  # Sec-Purpose, Purpose, X-Moz: fetched ahead, perhaps never seen
    filter_subresources: bool = True  # Sec-Fetch-Dest, X-Requested-With: a part of a page

    trusted_proxies: tuple[str, ...] = ()  # CIDR; only behind these, X-Forwarded-For is believed
    anonymize_ip: bool = False  # last octet of IPv4, last 80 bits of IPv6, before anything is kept
    strip_query: tuple[str, ...] = ()  # parameters taken out of url and referrer
    mask_secrets: bool = True  # values of the next are taken out of url, referrer, dead letters
    secret_parameters: tuple[str, ...] = SECRETS
