# bench.pl
#    Outage of a crash: (a) the floor, plain streaming replication promoted in
#    the same breath as the kill; (b) ours, regentd doing all of it.  In turns,
#    with the same settings and the same client, both asynchronous.
#
# Outage: from the last acknowledged write to the first one that the new
# primary acknowledged, as a client with its own short deadlines sees it.
use strict;
use warnings;
use Getopt::Long;
use JSON::PP;
use POSIX ();
use RegentCluster qw(wait_until slurp);
use Time::HiRes qw(time sleep);

$| = 1;
my $rounds = 20;
my $slow_retry;
GetOptions('rounds=i' => \$rounds, 'slow-retry' => \$slow_retry) or exit 2;
my $json = JSON::PP->new->canonical;
my $retry = $slow_retry ? '5s' : '10ms';
my $conf = "wal_retrieve_retry_interval = $retry\n";

sub median { my @s = sort { $a <=> $b } @_; return @s % 2 ? $s[ $#s / 2 ] : ($s[ @s / 2 - 1 ] + $s[ @s / 2 ]) / 2 }

# The load runs, $kill is called, the load sees another server take its writes.
sub measure
{
	my ($c, $primary, $kill) = @_;
	my $load = $c->start_load(primary => $primary, args => [ '--until-move', 100, '--seconds', 30, '--deadline-ms', 200 ]);
	sleep(0.5 + rand(0.5));
	$kill->();
	RegentCluster::reap($load->{pid}, 40);
	my $sum = $c->stop_load($load);
	die "the load saw no other server take over: " . $json->encode({ %$sum, ids => scalar @{ $sum->{ids} } }) . "\n" unless $sum->{to_port};
	$c->sql($c->primary_by_sql, 'TRUNCATE regent_load');
	return $sum->{outage_ms};
}

# ---- (a) ----

my $floor = RegentCluster->new(nodes => 2, conf => "shared_preload_libraries = ''\n$conf", no_sshd => 1);
my ($fp, $fs) = ('n1', 'n2');

sub floor_round
{
	my $pid = $floor->postmaster($fp);
	my $ms = measure($floor, $fp, sub {
		RegentCluster::must([ "$RegentCluster::top/test/bench/build/floor", $floor->conninfo($fs), $pid ]) });
	RegentCluster::wait_until(sub { !$floor->processes($fp) }, 10, 'the old server to be gone');
	$floor->remove_shared_memory($fp);
	RegentCluster::must([ 'rm', '-rf', $floor->node($fp)->{dir} ]);
	$floor->make_standby($fp, $fs);
	($fp, $fs) = ($fs, $fp);
	return $ms;
}

# ---- (b) ----

my $ours = RegentCluster->new(nodes => 2, conf => $conf);
$ours->up;
my $op = 'n1';
my %phases;

# CPU of regentd, and of its sessions and the workers in the servers, while nothing happens.
sub cpu_ticks
{
	my $ticks = 0;
	for my $pid (@_)
	{
		my $stat = slurp("/proc/$pid/stat") or next;
		$stat =~ s/.*\) //;
		my @f = split / /, $stat;
		$ticks += $f[11] + $f[12];
	}
	return $ticks;
}

sub idle_cpu
{
	my $hz = POSIX::sysconf(POSIX::_SC_CLK_TCK());
	my @servers = map { split /\n/, $ours->sql($_, "SELECT pid FROM pg_stat_activity WHERE application_name = 'regentd' OR backend_type LIKE 'pg_regent%'") } $ours->names;
	my ($w, $s, $t) = (cpu_ticks($ours->{regentd}), cpu_ticks(@servers), time());
	sleep(20);
	my $n = $ours->names;
	my $span = (time() - $t) * $hz * $n;
	return { scenario => 'idle', nodes => $n, heartbeat_interval_ms => 500,
		regentd_cpu_percent_per_node => sprintf('%.3f', 100 * (cpu_ticks($ours->{regentd}) - $w) / $span) + 0,
		server_cpu_percent_per_node => sprintf('%.3f', 100 * (cpu_ticks(@servers) - $s) / $span) + 0 };
}

sub ours_round
{
	my $ms = measure($ours, $op, sub { $ours->kill_primary($op) });
	my $s = $ours->wait_failover($op);
	push @{ $phases{$_} }, $s->{last_failover}{phases}{$_} for keys %{ $s->{last_failover}{phases} };
	my $phases = $s->{last_failover}{phases};
	$op = $s->{leader};
	$ours->wait_status(sub { !grep { $_->{state} ne 'ok' } @{ $_[0]{nodes} } }, 120, 'all nodes to be ok');
	$ours->wait_ready;
	return ($ms, $phases);
}

my (@a, @b);
my $idle = idle_cpu();
print $json->encode($idle), "\n";
for my $round (1 .. $rounds)
{
	my $floor_ms = floor_round();
	my ($ms, $phases) = ours_round();
	push @a, $floor_ms;
	push @b, $ms;
	print $json->encode({ scenario => 'crash', round => $round, outage_ms => $ms, floor_ms => $floor_ms,
			ratio => sprintf('%.2f', $ms / $floor_ms) + 0, phases => $phases }), "\n";
}
my ($ma, $mb) = (median(@a), median(@b));
my @sa = sort { $a <=> $b } @a;
my @sb = sort { $a <=> $b } @b;
print $json->encode({ scenario => 'crash', summary => JSON::PP::true, rounds => $rounds, wal_retrieve_retry_interval => $retry,
		outage_ms => $mb, floor_ms => $ma, ratio => sprintf('%.2f', $mb / $ma) + 0, outage_max_ms => $sb[-1], floor_max_ms => $sa[-1] }), "\n";

printf "\n%-28s %10s %10s %10s\n", "crash, $rounds rounds each", 'median ms', 'min', 'max';
printf "%-28s %10.1f %10.1f %10.1f\n", 'floor: no manager', $ma, $sa[0], $sa[-1];
printf "%-28s %10.1f %10.1f %10.1f\n", 'regentd', $mb, $sb[0], $sb[-1];
printf "%-28s %10.1f %10.1f %10.1f\n", "  $_", median(@{ $phases{$_} }), (sort { $a <=> $b } @{ $phases{$_} })[ 0, -1 ] for sort keys %phases;
printf "%-28s %10.2f   (goal: at most 2)\n", 'ratio of the medians', $mb / $ma;
printf "idle: regentd %.3f%% of one core per node, its sessions and the worker in the server %.3f%%\n",
	$idle->{regentd_cpu_percent_per_node}, $idle->{server_cpu_percent_per_node};
