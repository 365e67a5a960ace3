# The leader has no connection left: commits that wait for a standby hold them all, and what
# they wait for is the node that is to be brought back.  Rewind and delta copy need an
# ordinary login; they wait a little for one, tell the truth when there is none, and a copy
# needs none: then the commits go through.
use strict;
use warnings;
use RegentCluster qw(answer_of wait_until slurp);
use POSIX ();
use Test::More;

my $c = RegentCluster->new(nodes => 2, conf => "max_connections = 14\nfsync = off\nautovacuum = off\n",
	regent => { durability => 'strict', auto_rejoin => 'off' });
$c->up;
my $d = $c->dir;
my @source = ('n1', '127.0.0.1', $c->node('n1')->{port}, 'regent_replication', "$d/pgpass", 'regent_n2');
$c->sql('n1', 'CREATE ROLE app LOGIN; CREATE TABLE t (id int); GRANT ALL ON t TO app');
$c->stop_server('n2');

my @sessions;
my $id = 0;

# One session more of the application, which ends with its statement.
sub session
{
	my ($statement) = @_;
	my $pid = $c->spawn([ "$RegentCluster::bindir/psql", '-XqAt', '-d',
		"host=127.0.0.1 port=$source[2] user=app dbname=postgres", '-c', $statement ], "$d/app" . ++$id . '.log');
	push @sessions, $pid;
	return $pid;
}

# Not only as long as a session lasts that is just beginning or ending
sub is_full
{
	for (1 .. 20)
	{
		my ($rc) = RegentCluster::run_command([ "$RegentCluster::bindir/psql", '-XqAtd', "host=127.0.0.1 port=$source[2] user=app dbname=postgres", '-c', 'SELECT 1' ]);
		return 0 if $rc != 2;
	}
	return 1;
}

sub refusals { my $n = () = slurp($c->node('n1')->{log}) =~ / FATAL: /g; return $n }

# Commits that wait, until no other login gets in
wait_until(sub { session('INSERT INTO t VALUES (1)') if @sessions < 14; return is_full() }, 30, 'all connections to be taken');
my $waiting = grep { waitpid($_, POSIX::WNOHANG()) == 0 } @sessions;
cmp_ok($waiting, '>=', 5, "commits hold all connections: $waiting");

# ---- the helper says what is the matter ----

my ($rc, $out, $err) = $c->helper('n2', 'reach', @source);
my $a = answer_of("$out$err");
is($a->{error}, 'not_possible', 'no login for a rewind') or diag("$out$err");
like($a->{detail}, qr/n1 .*has no connection left for regent_replication, and a rewind needs one: .*(?:reserved|too many clients).*max_connections is 14, of which 3 are for superusers/s,
	'the reason is that connections are taken');
like($a->{hint}, qr/CONNECTION LIMIT/, 'with what to do');
unlike("$a->{detail}$a->{hint}", qr/pg_hba/, 'pg_hba.conf is not to blame');

# one that gets free is taken
my $refusals = refusals();
my $reach = $c->spawn([ "$RegentCluster::top/scripts/regent-node", '-c', "$d/node.conf", 'n2', 'reach', @source ], "$d/reach.log");
wait_until(sub { refusals() > $refusals }, 10, 'its first refusal', sub { slurp("$d/reach.log") });
kill 'KILL', $sessions[0];
$c->sql('n1', 'SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE usename = \'app\' LIMIT 1) AS s');
is(RegentCluster::reap($reach, 20), 0, 'it waits for one that gets free') or diag(slurp("$d/reach.log"));
wait_until(sub { session('INSERT INTO t VALUES (2)') if !is_full(); return is_full() }, 30, 'all connections to be taken again');

# ---- and the node comes back by a copy, whatever is taken ----

($rc, $out, $err) = $c->regent('rebuild', 'n2', '--force', '--wait');
is($rc, 0, 'a rebuild') or diag("$out$err" . $c->regentd_log_tail);
like(join("\n", map { $_->{message} } grep { $_->{event} eq 'rebuild_method' } $c->events), qr/delta.*the source has no connection left, and a delta copy needs one: /, 'says why no delta copy was possible');
$c->wait_node('n2', 'ok');
wait_until(sub { !grep { waitpid($_, POSIX::WNOHANG()) == 0 } @sessions }, 30, 'the commits to go through');
is($c->sql('n1', 'SELECT count(*) >= 5 FROM t'), 't', 'the commits that waited are there');
$c->wait_caught_up('n1', 'n2');
# a hot standby shows what was committed before its base backup ended and acknowledged after it with the
# leader's next snapshot of running transactions
my $rows = $c->sql('n1', 'SELECT count(*) FROM t');
wait_until(sub { $c->sql('n2', 'SELECT count(*) FROM t') eq $rows }, 40, 'the standby to show them');
pass('on both');
done_testing();
