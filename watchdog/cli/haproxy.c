/*
 * haproxy.c
 *	  Writes haproxy.cfg.
 *
 * A write port that leads to the primary and a read port that leads to the
 * standbys.  regentd says from memory who is what; a server of which it says
 * "no" loses its sessions at once, so that nobody goes on talking to a deposed
 * primary.
 *
 * regentd may be away: it is restarted, or its host is gone.  Plain health
 * checks would then take all servers out and cut every session; the watchdog's
 * death would stop the service that it watches.  So the checks go through a
 * small frontend of HAProxy itself, which answers 404 where regentd does not
 * answer.  404 means "no news" (disable-on-404): no session is cut, and the
 * one-entry stick table keeps new writers at the server that was the primary
 * last.  A demoted server refuses writes by itself (gate, read-only), so old
 * news can't do harm.
 */
#include "haproxy.h"

#include <string.h>

#define HAPROXY_WEIGHT_MAX 256

int
rg_haproxy_check(const RgConfig *config, const RgHaproxyOptions *options, RgError *err)
{
	int			rc = 0;

	if (options->check_address[0] == '\0')
	{
		rc = rg_error_set(err, RGE_ARGUMENT, "http_listen is not set in %.180s", config->file);
		rg_error_detail(err, "HAProxy asks regentd there who is primary.");
		rg_error_hint(err, "Add \"http_listen = 127.0.0.1:8008\" to its section [cluster] "
					  "(or the address of a network that HAProxy's host can reach) and restart regentd.");
		return rc;
	}
	for (int i = 0; i < config->nnodes; i++)
	{
		if (config->nodes[i].host[0] != '/')
			continue;
		rc = rg_error_set(err, RGE_ARGUMENT, "node %s has a socket directory as host",
						  config->nodes[i].name);
		rg_error_hint(err, "HAProxy needs an address: set \"host\" in section [node %s] of %.200s.",
					  config->nodes[i].name, config->file);
		return rc;
	}
	if (options->write_port == options->read_port)
		return rg_error_set(err, RGE_ARGUMENT, "the write port and the read port are both %d",
							options->write_port);
	return 0;
}

static void
write_head(const RgConfig *config, const RgHaproxyOptions *options, FILE *out)
{
	fprintf(out,
			"# HAProxy for the PostgreSQL cluster \"%s\", written by regent config haproxy.\n"
			"# Write it again when nodes, ports or weights change.\n"
			"#\n"
			"#   port %d: the primary, read and write\n"
			"#   port %d: the standbys, read only; the primary while there is no standby\n\n",
			config->name, options->write_port, options->read_port);
	fputs("global\n"
		  "    log stdout format raw local0\n"
		  "    maxconn 4000\n", out);
	if (strcmp(options->run_as, "none") != 0)
		fprintf(out, "# started by systemd, as root (haproxy -Ws)\n"
				".if defined(NOTIFY_SOCKET)\n    user %s\n    group %s\n.endif\n",
				options->run_as, options->run_as);
	fputs("\ndefaults\n"
		  "    log global\n"
		  "    mode tcp\n"
		  "    option dontlognull\n"
		  "    option clitcpka\n"
		  "    option srvtcpka\n"
		  "    # also the pause before a server that refused is tried again\n"
		  "    timeout connect 300ms\n"
		  "    timeout check 2s\n"
		  "    # an idle session is not cut sooner\n"
		  "    timeout client 24h\n"
		  "    timeout server 24h\n"
		  "    # a client that comes during a failover waits, 3 s at most\n"
		  "    retries 10\n"
		  "    option redispatch 1\n\n", out);
}

static void
write_health(const RgConfig *config, const RgHaproxyOptions *options, FILE *out)
{
	fprintf(out,
			"# Health checks pass through here.  Where regentd does not answer, the answer is 404:\n"
			"# no news.  Then no session is cut, and writers stay where the primary was last.\n"
			"frontend regent_health\n"
			"    mode http\n"
			"    no log\n"
			"    timeout client 5s\n"
			"    bind abns@regent-%s-%d-health\n"
			"    default_backend regentd\n\n"
			"backend regentd\n"
			"    mode http\n"
			"    timeout connect 500ms\n"
			"    timeout server 500ms\n"
			"    retries 0\n"
			"    http-response set-header x-regentd answered\n"
			"    http-after-response set-status 404 unless { res.hdr(x-regentd) -m found }\n"
			"    server regentd %s\n\n",
			config->name, options->write_port, options->check_address);
}

static void
write_check(const RgConfig *config, const RgHaproxyOptions *options, const char *role, const char *intervals, FILE *out)
{
	fprintf(out,
			"    option httpchk\n"
			"    http-check send meth GET uri-lf \"/node/%%[srv_name]/%s\" ver HTTP/1.1 hdr Host regentd\n"
			"    http-check expect status 200\n"
			"    http-check disable-on-404\n"
			"    default-server check addr abns@regent-%s-%d-health %s on-marked-down shutdown-sessions\n",
			role, config->name, options->write_port, intervals);
}

static void
write_server(const RgNodeConfig *node, int weight, FILE *out)
{
	bool		is_ipv6 = strchr(node->host, ':') != NULL;

	fprintf(out, "    server %s %s%s%s:%d", node->name, is_ipv6 ? "[" : "", node->host,
			is_ipv6 ? "]" : "", node->port);
	if (weight > 0)
		fprintf(out, " weight %d", weight);
	fputc('\n', out);
}

/*
 * HAProxy begins with all servers up, at its start and at each reload, until
 * each was asked once.  So a client waits that moment while there seem to be
 * two primaries, or no primary among the standbys.
 */
static void
write_frontend(const RgConfig *config, const char *name, const char *bind, int port, FILE *out)
{
	fprintf(out,
			"frontend regent_%s\n"
			"    bind %s:%d\n"
			"    option tcplog\n"
			"    # two primaries: not all servers were checked yet, so wait for that\n"
			"    tcp-request inspect-delay 300ms\n"
			"    tcp-request content accept if { nbsrv(regent_primary) le 1 } { nbsrv(regent_standbys) lt %d }\n"
			"    tcp-request content accept if WAIT_END\n",
			name, bind, port, config->nnodes);
}

static void
write_primary(const RgConfig *config, const RgHaproxyOptions *options, FILE *out)
{
	write_frontend(config, "write", options->bind, options->write_port, out);
	fputs("    default_backend regent_primary\n\n"
		  "backend regent_primary\n", out);
	write_check(config, options, "primary", "inter 200ms fastinter 100ms downinter 200ms fall 2 rise 1", out);
	fputs("    # one entry: the server that was the primary last\n"
		  "    stick-table type integer size 1\n"
		  "    stick on int(1)\n", out);
	/* also those with priority 0: one may be the primary now */
	for (int i = 0; i < config->nnodes; i++)
		write_server(&config->nodes[i], 0, out);
	fputc('\n', out);
}

/* Our weights go to 1000, HAProxy's to 256: scaled when one is greater, none to 0. */
static int
scale_weight(int weight, int greatest)
{
	int			scaled;

	if (greatest <= HAPROXY_WEIGHT_MAX)
		return weight;
	scaled = (weight * HAPROXY_WEIGHT_MAX + greatest / 2) / greatest;
	return scaled > 0 ? scaled : 1;
}

static void
write_standbys(const RgConfig *config, const RgHaproxyOptions *options, FILE *out)
{
	int			greatest = 0;

	for (int i = 0; i < config->nnodes; i++)
		if (config->nodes[i].weight > greatest)
			greatest = config->nodes[i].weight;
	write_frontend(config, "read", options->bind, options->read_port, out);
	fputs("    use_backend regent_primary if { nbsrv(regent_standbys) eq 0 }\n"
		  "    default_backend regent_standbys\n\n"
		  "backend regent_standbys\n"
		  "    balance roundrobin\n", out);
	write_check(config, options, "standby", "inter 500ms fastinter 100ms downinter 200ms fall 2 rise 1", out);
	for (int i = 0; i < config->nnodes; i++)
	{
		const RgNodeConfig *node = &config->nodes[i];

		if (node->weight > 0)
			write_server(node, scale_weight(node->weight, greatest), out);
		else
			fprintf(out, "    # %s has weight 0: no reads\n", node->name);
	}
}

void
rg_haproxy_write(const RgConfig *config, const RgHaproxyOptions *options, FILE *out)
{
	write_head(config, options, out);
	write_health(config, options, out);
	write_primary(config, options, out);
	write_standbys(config, options, out);
}
