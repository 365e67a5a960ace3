/*
 * floor.c
 *	  The fastest failover that there can be: kills the postmaster PID and asks
 *	  the standby to promote itself in the same breath, on an open connection.
 *
 * No evidence, no fence, no choice: the floor that regentd is measured against.
 */
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

int
main(int argc, char **argv)
{
	PGconn	   *conn;
	PGresult   *res;
	int			ret = 1;

	if (argc != 3 || atoi(argv[2]) <= 1)
	{
		(void) fprintf(stderr, "usage: floor CONNINFO-OF-STANDBY POSTMASTER-PID\n");
		return 2;
	}
	conn = PQconnectdb(argv[1]);
	res = PQexec(conn, "SELECT pg_is_in_recovery()");
	if (PQresultStatus(res) != PGRES_TUPLES_OK || PQgetvalue(res, 0, 0)[0] != 't')
		(void) fprintf(stderr, "floor: no standby there: %s\n", PQerrorMessage(conn));
	else if (kill((pid_t) atoi(argv[2]), SIGKILL) != 0)
		perror("floor: kill");
	else
	{
		PQclear(res);
		res = PQexec(conn, "SELECT pg_promote(false)");
		ret = PQresultStatus(res) == PGRES_TUPLES_OK ? 0 : 1;
		if (ret != 0)
			(void) fprintf(stderr, "floor: %s\n", PQerrorMessage(conn));
	}
	PQclear(res);
	PQfinish(conn);
	return ret;
}
