# demo.pl
#    What `make demo` shows, told step by step.  The cluster is the one of the
#    tests (test/tap/RegentCluster.pm): real servers, a real sshd, regentd.
use strict;
use warnings;
use POSIX ();
use RegentCluster qw(wait_until slurp);
use Time::HiRes qw(time sleep);

$| = 1;
my $keep = grep { $_ eq '--keep' } @ARGV;
my $began = time();
my $c;

sub say_step { printf "\n%s\n", $_[0] }

sub failed
{
	my ($why) = @_;
	chomp $why;
	my ($last) = (split /\n/, $why)[0];
	print "\n$why\n" if $why ne $last;
	$c->finish(0) if $c;
	print "demo: failed $last\n";
	POSIX::_exit(1);
}

sub show
{
	my ($rc, $out, $err) = $c->regent(@_);
	print map { "    $_\n" } split /\n/, $out . $err;
}

# Until the old primary streams again; the table as it changes.
sub watch_until
{
	my ($code, $timeout, $what) = @_;
	my $last = '';
	my $end = time() + $timeout;
	while (time() < $end)
	{
		my $s = $c->status;
		my $line = $s ? join('   ', map { sprintf '%s %s, %s', $_->{name}, $_->{role}, $_->{state} } @{ $s->{nodes} }) : 'regentd does not answer';
		printf "    %6.1f s  %s\n", time() - $began, $line if $line ne $last;
		$last = $line;
		return if $s && $code->($s);
		sleep(0.1);
	}
	failed("timed out waiting for $what");
}

# TPC-B must balance: the same sum in all four tables.
sub balances
{
	my ($node) = @_;
	return $c->sql($node, 'SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),'
			. ' (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)');
}

my $bench_pid;

sub start_pgbench
{
	my ($node) = @_;
	my $n = $c->node($node);
	$bench_pid = $c->spawn([ "$RegentCluster::bindir/pgbench", '-h', $n->{host}, '-p', $n->{port}, '-U', 'postgres', '-n', '-c', 4,
			'-T', 600, 'postgres' ], $c->dir . '/pgbench.log');
	$c->{pids}{pgbench} = $bench_pid;
}

eval {
	say_step('[2/7] three servers (n1 is the primary), one sshd with throw-away keys, all on loopback');
	# every commit waits until one standby has it on disk
	$c = RegentCluster->new(nodes => 3, keep => $keep, http => 1, regent => { durability => 'sync', quorum => 1 });
	for my $name ($c->names)
	{
		printf "    %s  %s:%d  %s\n", $name, $c->node($name)->{host}, $c->node($name)->{port}, $c->node($name)->{dir};
	}
	print "    regent init: adopts them\n";
	$c->init_cluster;
	$c->start_regentd;
	$c->wait_ready;
	show('status');

	say_step('[3/7] a write load: pgbench TPC-B, and a client that counts every commit that it was told about');
	RegentCluster::must([ "$RegentCluster::bindir/pgbench", '-h', '127.0.0.1', '-p', $c->node('n1')->{port}, '-U', 'postgres', '-i', '-q', '-s', 2,
			'postgres' ], timeout => 120);
	my $load = $c->start_load;
	start_pgbench('n1');
	for (1 .. 3)
	{
		sleep(1);
		my ($count) = $c->sql('n1', 'SELECT count(*) FROM regent_load');
		my $s = $c->status;
		printf "    %6.1f s  %d counted rows; %s\n", time() - $began, $count,
			join '   ', map { sprintf '%s %s %s, lag %s bytes', $_->{name}, $_->{role}, $_->{state}, $_->{replay_lag_bytes} // '-' } @{ $s->{nodes} };
	}

	say_step("[4/7] SIGKILL of n1's postmaster (pid " . $c->postmaster('n1') . ')');
	my $t = $c->kill_primary('n1');
	watch_until(sub { $_[0]{leader} ne 'n1' && $_[0]{phase} eq 'steady' }, 30, 'a new leader');
	my $s = $c->status;
	my $new = $s->{leader};
	my $f = $s->{last_failover};
	printf "    %s took over in term %d: evidence %d ms, fence and recruit %d ms, promotion %d ms, rule %d ms\n", $new, $s->{term},
		@{ $f->{phases} }{qw(detect_ms recruit_ms promote_ms rule_ms)};
	waitpid($bench_pid, 0);
	start_pgbench($new);

	say_step('[5/7] n1 comes back by itself, as a standby');
	watch_until(sub { !grep { $_->{state} ne 'ok' } @{ $_[0]{nodes} } }, 120, 'all nodes to be ok');
	my $rebuilt = $c->sql('n1', 'SELECT pg_is_in_recovery() AND regent.walrecrunning()') eq 't' ? 'yes' : 'no';
	sleep(1);
	kill('TERM', $bench_pid);
	waitpid($bench_pid, 0);
	delete $c->{pids}{pgbench};
	my $sum = $c->stop_load($load);
	printf "    the counting client: %d commits acknowledged, %d without an answer, longest gap %.0f ms\n", scalar @{ $sum->{ids} },
		$sum->{unknown}, $sum->{outage_ms};
	show('events');

	say_step('[6/7] proof: every acknowledged row on every node, the same TPC-B sums everywhere');
	my @others = grep { $_ ne $new } $c->names;
	$c->wait_caught_up($new, @others);
	my $lost = 0;
	my %sums;
	for my $name ($c->names)
	{
		my $missing = $c->missing_rows($name, $sum->{ids});
		my $b = balances($name);
		$lost += $missing;
		$sums{$b}++;
		printf "    %s (%s): %d of %d acknowledged rows missing; sums %s\n", $name, $name eq $new ? 'primary' : 'standby', $missing,
			scalar @{ $sum->{ids} }, $b;
	}
	my ($one) = keys %sums;
	my %parts = map { $_ => 1 } split /\|/, $one;
	failed('the nodes hold different TPC-B sums') if keys %sums != 1;
	failed('the TPC-B sums do not balance') if keys %parts != 1;
	failed("$lost acknowledged rows are missing") if $lost;
	failed('n1 does not stream') if $rebuilt ne 'yes';
	failed('another node than the new primary takes writes')
		if grep { $c->sql($_, 'SELECT pg_is_in_recovery()') ne 't' } @others;

	if ($keep)
	{
		my $r = "$RegentCluster::build/regent -c $c->{conf}";
		my $d = $c->dir;
		my @stop = ($c->{regentd}, $c->{pids}{sshd});
		say_step('[7/7] left up, as you asked');
		print "    look:     $r status      (events, explain, check)\n";
		print "    write:    psql -U postgres -d postgres -h 127.0.0.1 -p " . $c->node($new)->{port} . "\n";
		print "    kill it:  kill -9 \$(head -n 1 " . $c->node($new)->{dir} . "/postmaster.pid)\n";
		print "    rebuild:  $RegentCluster::bindir/pg_ctl -D " . $c->node('n3')->{dir} . " stop -m immediate; $r rebuild n3 --wait\n";
		print "    stop:     kill @stop; for n in n1 n2 n3; do $RegentCluster::bindir/pg_ctl -D $d/\$n/data stop -m immediate; done; rm -rf $d\n";
		print "    (as user " . getpwuid($>) . ")\n";
		delete $c->{$_} for qw(regentd pids);
		$c->{finished} = 1;
	}
	else
	{
		say_step('[7/7] everything is stopped and removed');
		$c->finish(0);
	}
	printf "    %.0f s in all\n", time() - $began;
	printf "demo: ok outage_ms=%.0f lost=%d rebuilt=%s\n", $sum->{outage_ms}, $lost, $rebuilt;
	1;
} or failed($@);
