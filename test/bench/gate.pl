# gate.pl
#    What the open gate costs a writing transaction: two servers with the same
#    settings, one with the extension and an open gate, one without, both loaded by
#    pgbench (synchronous_commit off, one client per core) in short slices in turns.
#
# A shared machine changes its pace within seconds, so turns of seconds can't show a
# percent.  Here both pgbench run all the time and are let go (SIGCONT) and held
# (SIGSTOP) alternately for a quarter of a second: what is compared lies next to
# each other.  Two measures of each slice, both for each transaction: the time on the
# clock, and the processor time of the very backends that serve pgbench (schedstat,
# nanoseconds).  Transactions are counted by their xids.  The order within a pair
# alternates; the ratio is taken pair by pair, and the median is printed with its 95 %
# interval (order statistics).
#
# Where a server's memory happens to lie is worth one or two percent, in all of its
# slices alike.  So both servers are started anew for each block of pairs, and
# --control compares two servers without the extension: what it prints is the error
# of this way of measuring.
#
# Before that the instructions of an insert are counted, in user mode, by valgrind: the
# number does not care what else the machine does (--no-count leaves it out).
use strict;
use warnings;
use Getopt::Long;
use IPC::Open2;
use JSON::PP;
use POSIX ();
use RegentCluster qw(wait_until);
use Time::HiRes qw(time sleep);

$| = 1;
my ($pairs, $blocks, $slice_ms, $clients, $count, $control) = (400, 10, 250, 2, 1, 0);
GetOptions('pairs=i' => \$pairs, 'blocks=i' => \$blocks, 'slice-ms=i' => \$slice_ms, 'clients=i' => \$clients,
	'count!' => \$count, 'control' => \$control) or exit 2;
die "gate: --pairs must be a multiple of --blocks ($blocks)\n" if $blocks < 1 || $pairs < $blocks || $pairs % $blocks;
my $json = JSON::PP->new->canonical;

my %conf = (
	with => $control ? "shared_preload_libraries = ''\n" : '',
	without => "shared_preload_libraries = ''\n",
);
my $common = "synchronous_commit = off\nautovacuum = off\nshared_buffers = 256MB\nmax_wal_size = 16GB\ncheckpoint_timeout = 1h\n";
my (%cluster, @children);
my $watchdog = '11111111-2222-4333-8444-555555555555';
chomp(my $bin = qx($ENV{PG_CONFIG} --bindir));

# The watchdog's part: a rule, then a lease for longer than the run.
sub open_gate
{
	my ($c) = @_;

	$c->sql('n1', 'CREATE EXTENSION IF NOT EXISTS pg_regent');
	$c->sql('n1', "SELECT regent.write_rule('$watchdog', 1, 2, 1, 'n1', '{n1}', 'async', 0, '{}', '1 hour', NULL, 'bench')");
	grant($c);
}

sub grant
{
	my ($c) = @_;

	$c->sql('n1', "SELECT regent.heartbeat('$watchdog', 1, s.boot_id, s.started_at, 2, s.boottime_ms + 3600000)
		FROM regent.heartbeat('$watchdog', 1, NULL, NULL, 2, NULL) s");
	my $gate = $c->sql('n1', 'SELECT gate FROM regent.node_status()');
	die "the gate is $gate, not open\n" unless $gate eq 'open';
}

# One transaction of each load, for counting.  TPC-B's updates go to rows of their own,
# all in one table: in a row that is updated again and again the work depends on when its
# old versions are removed, which differs from run to run.
my $row = 0;
my %transaction = (
	insert => sub { 'INSERT INTO bench_row (v) VALUES (1);' },
	tpcb => sub {
		return join "\n", 'BEGIN;',
			(map { 'UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = ' . ($row + $_) . ';' } 1 .. 3),
			"SELECT abalance FROM pgbench_accounts WHERE aid = $row + 1;",
			'INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, 1, 1, CURRENT_TIMESTAMP);', 'END;';
	},
);

# One backend does so many transactions: its instructions
sub instructions_of
{
	my ($c, $load, $n) = @_;
	my @statements = map { $row += 3; $transaction{$load}->() } 1 .. $n;
	my ($pid) = $c->sql('n1', join("\n", 'SELECT pg_backend_pid();', @statements), timeout => 300) =~ /^(\d+)/;
	my $count;

	wait_until(sub { ($count) = (RegentCluster::slurp($c->dir . "/callgrind.$pid") // '') =~ /^summary: (\d+)/m }, 60,
		'valgrind has written its counts');
	return $count;
}

# Of a transaction of each load
sub count_instructions
{
	my ($c, $with) = @_;
	my %n;
	my $log = $c->dir . '/valgrind.log';

	$row = 0;
	$c->stop_server('n1');
	my $pid = $c->spawn([ 'valgrind', '--tool=callgrind', '--trace-children=yes', '--callgrind-out-file=' . $c->dir . '/callgrind.%p',
		"$bin/postgres", '-D', $c->node('n1')->{dir} ], $log);
	wait_until(sub { defined $c->sql('n1', 'SELECT 1', may_fail => 1) }, 120, 'the server to run under valgrind');
	grant($c) if $with;
	for my $load (sort keys %transaction)
	{
		my ($few, $many) = map { instructions_of($c, $load, $_) } 200, 1700;
		$n{$load} = ($many - $few) / 1500;
	}
	kill INT => $pid;
	RegentCluster::reap($pid, 120);
	$c->start_server('n1');
	grant($c) if $with;
	return \%n;
}

# A session that answers one question again and again: how many xids are used?
sub counter
{
	my ($c) = @_;
	my $pid = open2(my $out, my $in, "$bin/psql", '-XAtq', '-d', $c->conninfo('n1'));

	$in->autoflush(1);
	return { pid => $pid, out => $out, in => $in };
}

sub xids
{
	my ($counter) = @_;

	print { $counter->{in} } "SELECT pg_snapshot_xmax(pg_current_snapshot());\n";
	my $line = readline $counter->{out};
	die "the counting session has ended\n" unless defined $line;
	return $line;
}

# Processor time of these backends, nanoseconds
sub cpu_ns
{
	my $ns = 0;

	for my $pid (@_)
	{
		my $stat = RegentCluster::slurp("/proc/$pid/schedstat") // die "a backend of pgbench has ended\n";
		$ns += (split ' ', $stat)[0];
	}
	return $ns;
}

sub start_pgbench
{
	my ($c, $load) = @_;
	my @args = $load eq 'insert' ? ('-f', $c->dir . '/insert.sql') : ('-b', 'tpcb-like');
	my $seconds = int($pairs * $slice_ms / 1000 * 3) + 60;
	my $sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench'";

	wait_until(sub { $c->sql('n1', $sessions) eq '' }, 30, 'the sessions of the pgbench before have ended');
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open STDOUT, '>', '/dev/null';
		{ exec "$bin/pgbench", '-n', '-T', $seconds, '-c', $clients, '-j', $clients, @args, $c->conninfo('n1') }
		POSIX::_exit(127);
	}
	my @backends;
	wait_until(sub {
		@backends = split /\n/, $c->sql('n1', $sessions);
		@backends == $clients;
	}, 30, 'pgbench has connected');
	kill STOP => $pid;
	push @children, $pid;
	return { pid => $pid, backends => \@backends };
}

# A stopped pgbench would wait for ever.
END
{
	my $status = $?;
	kill KILL => @children if @children;
	$? = $status;
}

sub slice
{
	my ($bench, $counter) = @_;
	my ($n, $cpu) = (xids($counter), cpu_ns(@{ $bench->{backends} }));
	my $began = time();

	kill CONT => $bench->{pid};
	sleep($slice_ms / 1000);    # the length of a slice
	kill STOP => $bench->{pid};
	my $seconds = time() - $began;
	$n = xids($counter) - $n;
	die "no transaction in a slice\n" unless $n > 0;
	return { us => $seconds * 1e6 / $n, cpu => (cpu_ns(@{ $bench->{backends} }) - $cpu) / 1e3 / $n, n => $n };
}

sub median { my @s = sort { $a <=> $b } @_; return @s % 2 ? $s[ $#s / 2 ] : ($s[ @s / 2 - 1 ] + $s[ @s / 2 ]) / 2 }

# median (low to high): the 95 % interval of the median
sub interval
{
	my @s = sort { $a <=> $b } @_;
	my $half = 0.98 * sqrt(@s);
	my ($low, $high) = map { $_ < 0 ? 0 : $_ > $#s ? $#s : $_ } int(@s / 2 - $half), int(@s / 2 + $half);

	return sprintf '%.4f (%.4f to %.4f)', median(@s), $s[$low], $s[$high];
}

sub is_gated { return $_[0] eq 'with' && !$control }

# Both servers, started anew: their memory lies elsewhere, and the load begins again.
sub start_block
{
	my ($load) = @_;
	my (%bench, %counter);

	for my $name (sort keys %cluster)
	{
		my $c = $cluster{$name};
		$c->stop_server('n1');
		$c->start_server('n1');
		grant($c) if is_gated($name);
		$c->sql('n1', $_) for 'TRUNCATE bench_row, pgbench_history', 'VACUUM FULL pgbench_branches',
			'VACUUM FULL pgbench_tellers', 'VACUUM FULL pgbench_accounts', 'CHECKPOINT';
		$counter{$name} = counter($c);
		$bench{$name} = start_pgbench($c, $load);
	}
	return (\%bench, \%counter);
}

sub end_block
{
	my ($bench, $counter) = @_;

	kill KILL => splice @children;
	waitpid $_->{pid}, 0 for values %$bench;
	close $_->{in} for values %$counter;
	waitpid $_->{pid}, 0 for values %$counter;
}

sub run_pair
{
	my ($i, $bench, $counter) = @_;
	my %r;

	$r{$_} = slice($bench->{$_}, $counter->{$_}) for $i % 2 ? ('with', 'without') : ('without', 'with');
	return \%r;
}

for my $name (sort keys %conf)
{
	my $c = $cluster{$name} = RegentCluster->new(nodes => 1, conf => $conf{$name} . $common, no_sshd => 1);

	RegentCluster::spew($c->dir . '/insert.sql', "INSERT INTO bench_row (v) VALUES (1);\n");
	open_gate($c) if is_gated($name);
	RegentCluster::must([ "$bin/pgbench", '-i', '-q', '-s', 10, $c->conninfo('n1') ]);
	$c->sql('n1', 'CREATE TABLE bench_row (id bigserial PRIMARY KEY, v int)');
}

if ($count)
{
	my %n = map { $_ => count_instructions($cluster{$_}, is_gated($_)) } sort keys %cluster;
	printf "instructions of a transaction in user mode, %s: without %.0f, with %.0f, ratio %.4f\n",
		$_, $n{without}{$_}, $n{with}{$_}, $n{with}{$_} / $n{without}{$_} for sort keys %transaction;
}

my @table;
for my $load ('tpcb', 'insert')
{
	my (%us, @time, @cpu);

	for my $block (1 .. $blocks)
	{
		my (@block_time, @block_cpu);
		my ($bench, $counter) = start_block($load);

		for my $i (1 .. $pairs / $blocks)
		{
			my $r = run_pair($i, $bench, $counter);
			push @block_time, $r->{with}{us} / $r->{without}{us};
			push @block_cpu, $r->{with}{cpu} / $r->{without}{cpu};
			push @{ $us{$_} }, $r->{$_}{cpu} for keys %$r;
		}
		push @time, median(@block_time);
		push @cpu, median(@block_cpu);
		print $json->encode({ load => $load, block => $block, time => $time[-1], cpu => $cpu[-1] }), "\n";
		end_block($bench, $counter);
	}
	push @table, sprintf('%-7s %5d   %-27s   %6.1f  %6.1f   %s', $load, $pairs, interval(@time),
		median(@{ $us{without} }), median(@{ $us{with} }), interval(@cpu));
}
$_->finish for values %cluster;
print $control ? "\nwithout/without: the error of measuring" : "\nwith/without", ", median of $blocks blocks (its 95 % interval)\n";
print "load    pairs   time per transaction          backends' CPU us: without  with   ratio\n";
print "$_\n" for @table;
