# The evidence table with real servers: who answers, with whatever error, is
# alive; a planned stop is waited for; only a proven death leads to a failover.
use strict;
use warnings;
use RegentCluster qw(wait_until spew slurp);
use Test::More;
use Time::HiRes qw(sleep time);

my $c = RegentCluster->new(nodes => 2, auth => 'scram', regent => { restart_budget => '10s', hang_budget => '2s' });
$c->up;

sub diagnosis_is
{
	my ($wanted, $what) = @_;
	my $s = $c->wait_status(sub { $_[0]{diagnosis} eq $wanted }, 20, "diagnosis $wanted");
	pass("$what: $wanted ($s->{diagnosis_text})");
	ok(!$s->{auto_failover}{ready}, "$what: not ready, because $s->{auto_failover}{reason}") if $wanted ne 'healthy';
	return $s;
}

sub nothing_happened
{
	my ($what) = @_;
	diagnosis_is('healthy', "$what, afterwards");
	my $s = $c->wait_ready;
	is("$s->{leader} $s->{term}", 'n1 1', "$what: no failover");
}

# saturated (F08): all slots taken, our sessions ended by an administrator
my @hogs;
my $n1 = $c->node('n1');
for (1 .. 60)
{
	my $pid = $c->spawn([ "$RegentCluster::bindir/psql", '-X', '-d', $c->conninfo('n1'), '-c', 'SELECT pg_sleep(600)' ], '/dev/null');
	push @hogs, $pid;
	$c->{pids}{"hog$_"} = $pid;
}
wait_until(sub { !defined $c->sql('n1', 'SELECT 1', may_fail => 1) }, 20, 'no slot to be left');
my ($one) = $c->processes('n1');
for my $pid ($c->processes('n1'))
{
	my $title = slurp("/proc/$pid/cmdline") || '';
	kill 'TERM', $pid if $title =~ /regentd|: regent postgres/;
}
my $s = diagnosis_is('saturated', 'no connection left');
like($s->{diagnosis_text}, qr/53300/, 'the SQLSTATE is named');
kill 'KILL', @hogs;
waitpid($_, 0) for @hogs;
delete $c->{pids}{"hog$_"} for 1 .. 60;
for my $pid ($c->processes('n1'))
{
	kill 'TERM', $pid if (slurp("/proc/$pid/cmdline") || '') =~ /SELECT/;
}
nothing_happened('saturated');

# broken login (F09): the password changed under our feet
$c->sql('n1', "ALTER ROLE regent PASSWORD 'another'");
$c->sql('n1', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'regent'");
$s = diagnosis_is('login refused', 'password changed');
like($s->{diagnosis_text}, qr/28P01/, 'the SQLSTATE is named');
my ($rc, $out) = $c->regent('status');
like((split /\n/, $out)[0], qr/NO, because/, 'the first line of status says NO');
$c->sql('n1', "ALTER ROLE regent PASSWORD 'regent-test-1'");
nothing_happened('login refused');

# restart within the budget (F12)
my $before = $c->sql('n1', 'SELECT timeline_id FROM pg_control_checkpoint()');
$c->stop_server('n1', 'fast');
diagnosis_is('stopped on purpose', 'fast stop');
$c->start_server('n1');
nothing_happened('restart within restart_budget');
is($c->sql('n1', 'SELECT timeline_id FROM pg_control_checkpoint()'), $before, 'same timeline');

# immediate stop: the control file looks like a crash, the goodbye does not
$c->stop_server('n1', 'immediate');
diagnosis_is('stopped on purpose', 'immediate stop');
$c->start_server('n1');
nothing_happened('immediate stop and start');

# crash recovery of the server itself: a backend dies, the postmaster stays (F11)
my $victim = $c->spawn([ "$RegentCluster::bindir/psql", '-X', '-d', $c->conninfo('n1'), '-c', 'SELECT pg_sleep(600)' ], '/dev/null');
$c->{pids}{victim} = $victim;
my $backend = wait_until(sub { $c->sql('n1', "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'") }, 10, 'the victim');
kill 'KILL', $backend;
waitpid($victim, 0);
delete $c->{pids}{victim};
nothing_happened('a backend was killed');

# the postmaster stands still for less than hang_budget, old sessions go on (F26)
my $pm = $c->postmaster('n1');
kill 'STOP', $pm;
sleep(1);    # the length of the fault, not a wait
kill 'CONT', $pm;
nothing_happened('postmaster frozen for a moment');

# stopped and not back within the budget: as crashed
$c->stop_server('n1', 'fast');
my $t = time();
$s = $c->wait_failover('n1', 60);
cmp_ok(time() - $t, '>=', 9, 'only after restart_budget');
is($s->{last_failover}{diagnosis}, 'overdue', 'the record says why');
$c->wait_node('n1', 'ok', 120);
is($c->sql('n1', 'SELECT pg_is_in_recovery()'), 't', 'the old primary is a standby');

# hung past hang_budget: its sessions still answer, but it is killed over SSH and replaced (F26)
$c->wait_ready;
$c->sql('n2', 'CREATE TABLE hung (id int)');
$c->wait_caught_up('n2', 'n1');
$pm = $c->postmaster('n2');
kill 'STOP', $pm;
$t = time();
$s = $c->wait_failover('n2', 60);
cmp_ok(time() - $t, '>=', 2, 'frozen postmaster: only after hang_budget');
is("$s->{leader} $s->{last_failover}{diagnosis}", 'n1 hung', 'the record says why');
is($c->sql('n1', 'SELECT count(*) FROM hung'), '0', 'n1 has what was written');
$c->wait_node('n2', 'ok', 120);
isnt($c->postmaster('n2'), $pm, 'the frozen postmaster is gone');
is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 't', 'it is a standby');

# no secret in argv, logs, journal or status, through all of the above (I9)
my $said = `ps -eo args` . slurp($c->dir . '/regentd.log') . slurp($c->dir . '/state/main.journal') . ($c->regent('--json', 'status'))[1]
	. join '', map { slurp($c->node($_)->{log}) } $c->names;
unlike($said, qr/regent-test-[12]/, 'no password in argv, logs, journal or status');
like($said, qr/failover_end/, '(and something was said)');
done_testing();
