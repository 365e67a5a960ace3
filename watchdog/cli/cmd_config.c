/*
 * cmd_config.c
 *	  regent config haproxy.
 */
#include "cli.h"
#include "haproxy.h"
#include "../app/config_value.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static int
port_number(const char *text)
{
	char	   *end;
	long		port = strtol(text, &end, 10);

	return end != text && *end == '\0' && port >= 1 && port <= 65535 ? (int) port : 0;
}

/* An address or a name, so that it can't break out of its line. */
static bool
is_word(const char *text)
{
	return *text != '\0' && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
								   "0123456789_.:-*[]") == strlen(text);
}

/* HAProxy can't connect to "all addresses": then regentd is taken to be on the same host. */
static void
default_check_address(const RgCli *cli, char *buf, size_t size)
{
	char		host[64];
	int			port;

	snprintf(buf, size, "%s", cli->config.http_listen);
	if (rg_address_split(cli->config.http_listen, host, sizeof(host), &port) != 0)
		return;
	if (strcmp(host, "0.0.0.0") == 0)
		snprintf(buf, size, "127.0.0.1:%d", port);
	else if (strcmp(host, "::") == 0)
		snprintf(buf, size, "[::1]:%d", port);
	else
		return;
	fprintf(stderr, "regent: http_listen is %s, so the checks go to %s\n"
			"HINT:  Where HAProxy runs on another host than regentd, use --check-address ADDRESS:PORT.\n",
			cli->config.http_listen, buf);
}

/* Reads the options; 0, or the exit code after a message. */
static RgExit
read_options(const RgCli *cli, int argc, char **argv, RgHaproxyOptions *ret)
{
	static const struct option options[] = {
		{"write-port", required_argument, NULL, 'w'},
		{"read-port", required_argument, NULL, 'r'},
		{"bind", required_argument, NULL, 'b'},
		{"check-address", required_argument, NULL, 'a'},
		{"run-as", required_argument, NULL, 'u'},
		{NULL, 0, NULL, 0}
	};
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		int		   *port = option == 'w' ? &ret->write_port : &ret->read_port;

		if (option == '?')
			return rg_cli_bad_option(cli, argv);
		if (option == 'w' || option == 'r')
		{
			if ((*port = port_number(optarg)) == 0)
				return rg_cli_usage(cli, "a port is a number from 1 to 65535, not \"%s\"", optarg);
			continue;
		}
		if (!is_word(optarg))
			return rg_cli_usage(cli, "\"%s\" is neither an address nor a name", optarg);
		if (option == 'b')
			ret->bind = optarg;
		else if (option == 'a')
			ret->check_address = optarg;
		else
			ret->run_as = optarg;
	}
	return RG_EXIT_DONE;
}

RgExit
rg_cmd_config(RgCli *cli, int argc, char **argv)
{
	RgHaproxyOptions options = {.write_port = 5000, .read_port = 5001, .bind = "*", .run_as = "haproxy"};
	char		check_address[RG_HOST_MAX];
	RgError		err = {0};
	RgExit		code;

	code = read_options(cli, argc, argv, &options);
	if (code != RG_EXIT_DONE)
		return code;
	if (optind == argc)
		return rg_cli_usage(cli, "which configuration?  There is haproxy");
	if (strcmp(argv[optind], "haproxy") != 0)
		return rg_cli_usage(cli, "there is no configuration \"%s\", only haproxy", argv[optind]);
	if ((code = rg_cli_no_more(cli, argc, argv, optind + 1)) != RG_EXIT_DONE)
		return code;
	if (options.check_address == NULL)
	{
		default_check_address(cli, check_address, sizeof(check_address));
		options.check_address = check_address;
	}
	if (rg_haproxy_check(&cli->config, &options, &err) != 0)
		return rg_cli_fail(cli, &err);
	if (cli->json)
	{
		char	   *text = NULL;
		size_t		size;
		FILE	   *stream = open_memstream(&text, &size);

		if (stream == NULL)
			return RG_EXIT_FAILED;
		rg_haproxy_write(&cli->config, &options, stream);
		fclose(stream);
		rg_cli_print_json(cli, json_pack("{s:s}", "haproxy", text));
		free(text);
	}
	else
		rg_haproxy_write(&cli->config, &options, cli->out);
	return RG_EXIT_DONE;
}
