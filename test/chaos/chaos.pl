# chaos.pl
#    Rounds of chaos: a load, a nemesis, peace, the invariants.  Started by "run",
#    which puts it into namespaces of its own.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use Getopt::Long;
use JSON::PP ();
use POSIX ();
use RegentCluster qw(slurp spew wait_until run_command);
use Time::HiRes qw(sleep);
use Cluster;
use Faults;
use Guarantee;
use Invariants;
use Load;
use Nemesis;
use Observer;
use Orders;
use Peace;
use Rng;
use Util;

my %o = (rounds => 10, seed => 1, durability => 'async', lease => '2s', converge => 150, move => 45);
GetOptions(\%o, 'rounds=i', 'seed=i', 'durability=s', 'lease=s', 'resume', 'fixed', 'only=s', 'list', 'results=s', 'converge=i', 'move=i')
	or die "usage: run [--rounds N] [--seed S] [--durability async|sync|strict] [--lease 2s] [--resume] [--fixed] [--only NAME,...] [--list] [--results DIR]\n";
if ($o{list})
{
	print "$_\n" for Nemesis::names();
	exit 0;
}
$SIG{PIPE} = 'IGNORE';    # a client that died before it had read its query
my ($number, $unit) = $o{lease} =~ /^([\d.]+)(ms|s)$/ or die "lease: say 2s or 1500ms\n";
my $lease = $unit eq 's' ? $number : $number / 1000;
my $results = $o{results} // dirname(__FILE__) . '/results';
make_path($results);
$results = abs_path($results);
my $json = JSON::PP->new->canonical;
my $base = $ENV{REGENT_TMP};
chmod 0755, $base;
my $product = Cluster::mount_product($base);
my ($cluster, $load, $faults, $observer, $orders, $peace);
my $clusters = 0;

# ---- clusters ----

sub new_cluster
{
	my ($durability, $rng) = @_;
	$cluster->down if $cluster;
	my $dir = "$base/c" . ++$clusters;
	$cluster = Cluster->new(dir => $dir, rng => $rng, durability => $durability, lease => $o{lease}, product => $product);
	$cluster->up;
	$load = Load->new(cluster => $cluster);
	$orders = Orders->new(cluster => $cluster, load => $load);
	$faults = Faults->new(cluster => $cluster, load => $load, orders => $orders);
	$observer = Observer->new(cluster => $cluster);
	$peace = Peace->new(cluster => $cluster, load => $load, faults => $faults, observer => $observer, orders => $orders, converge => $o{converge}, tick => \&tick);
	Util::note("a new cluster, $durability, lease $o{lease}");
}

# In peace regentd answers, be it late on a busy machine.
sub patient_status { return wait_until(sub { $cluster->status }, 30, 'regentd to answer') }

sub facts
{
	my $s = patient_status();
	my $start = $cluster->sql($s->{leader}, 'SELECT pg_postmaster_start_time()') // '';
	return { leader => $s->{leader}, term => $s->{term}, start => $start };
}

# ---- one round ----

sub tick
{
	$load->read;
	$faults->tick;
	$observer->tick;
	sleep(0.01);
}

sub tick_until { my ($until) = @_; tick() while Util::now() < $until }

# Waits until a condition holds; the time that it took, or undef.
sub tick_while_not
{
	my ($condition, $bound) = @_;
	my $began = Util::now();
	while (Util::now() < $began + $bound)
	{
		return Util::now() - $began if $condition->();
		tick();
	}
	return undef;
}

# What ['until', …] may wait for, and whether regentd has to be asked.
my %comes = (
	ordered => { so => sub { !$orders->under_way } },
	led => { so => sub { my $a = $load->{last_ack}; $a && $a->{term} > $faults->{term} } },
	left_out => { asks => 1, so => sub { my ($s, $n) = @_; @{ $s->{left_out} || [] } >= $n } },
	rebuilding => { asks => 1, so => sub { my ($s, $role) = @_; my $name = $faults->host($role)->name;
			scalar grep { $_->{node} eq $name && $_->{kind} eq 'rebuild' && $_->{state} eq 'running' } @{ $s->{jobs} } } },
);
my $until_s = 20;

# Waits for that, for a while; whether it came is noted.
sub wait_for
{
	my ($what, @args) = @_;
	my $row = $comes{$what} or die "nothing is called $what\n";
	my $asked = 0;
	$faults->{term} = ($load->{last_ack} || {})->{term} // 0;
	my $took = tick_while_not(sub {
		return $row->{so}->() unless $row->{asks};
		return 0 if Util::now() < $asked + 0.2;
		$faults->{status} = $cluster->status // {};
		$asked = Util::now();
		return $row->{so}->($faults->{status}, @args);
	}, $until_s);
	push @{ $faults->{acts} }, [ Util::now(), "until @{[ $what, @args ]}", defined $took ? 'came' : 'did not come' ];
}

# The plan, act by act.
sub run_plan
{
	my ($nemesis, $r) = @_;
	my $zero = Util::now();
	my $term = $r->{term_before};
	my @bad;
	for my $act (@{ $nemesis->{acts} })
	{
		my ($at, @what) = @$act;
		if ($at eq 'until')
		{
			wait_for(@what);
			$zero = Util::now();
			next;
		}
		if ($at ne 'moved')
		{
			tick_until($zero + $at);
			$faults->act(@what);
			next;
		}
		my $took = tick_while_not(sub { my $a = $load->{last_ack}; $a && $a->{hi} > $zero && $a->{term} > $term }, $o{move});
		push @bad, "I7: nobody else led within $o{move} s" . (($cluster->status || {})->{diagnosis_text} ? ': ' . $cluster->status->{diagnosis_text} : '') unless defined $took;
		$term = $load->{last_ack}{term} if defined $took;
		$zero = Util::now();
	}
	tick_until(Util::now() + 0.5);
	return @bad;
}

# After peace: rows and acknowledgements.
sub judge
{
	my ($nemesis, $r) = @_;
	my $leader = $r->{leader_after} // return 'I4: no leader';
	my $moved = $leader ne $r->{leader_before};
	my @rows = split /\n/, $cluster->sql($leader, 'SELECT id FROM chaos_rows', 60) // return "I4: $leader: $cluster->{sql_error}";
	my @gids = split /\n/, $cluster->sql($leader, 'SELECT gid FROM pg_prepared_xacts') // '';
	my $new_term = $r->{term_after} > $r->{term_before};
	my @bad = Invariants::nothing_lost($load, { map { $_ => 1 } @rows }, { map { $_ => 1 } @gids }, $r,
		allowed => $nemesis->{loses} && $new_term, term => $r->{term_after}, since => $faults->{first_at},
		periods => [ Guarantee::periods($r->{durability}, $orders->all) ]);
	push @bad, Invariants::one_writer($load, $faults, $r);
	push @bad, $peace->same_rows;
	push @bad, $orders->complaints($nemesis->{obeys}), $orders->is_obeyed(patient_status());
	if ($nemesis->{failover} eq 'never')
	{
		push @bad, "I6: needless failover from $r->{leader_before} to $leader" if $moved;
		push @bad, "I6: the leader's server was restarted" if !$moved && !$nemesis->{restarts} && $r->{start_before} ne $r->{start_after};
	}
	my ($outage, $at) = Invariants::outage_ms($load, $faults->{first_at}, $r->{term_before});
	$r->{resume_ms} = Invariants::resume_ms($load, $faults->{first_at}, $r->{term_before});
	$r->{outage_ms} = $outage;
	$r->{outage_at} = sprintf '%.3f', $at - $faults->{first_at};
	push @bad, "I7: $outage ms without an acknowledgement, though nothing that serves was touched" if $nemesis->{calm} && $outage > 2500;
	push @bad, sprintf('I7: %d ms without an acknowledgement, more than %d', $outage, $lease * 2000 + 8000)
		if $nemesis->{failover} eq 'must' && !$nemesis->{halts} && $outage > $lease * 2000 + 8000;
	my @events = grep { !$r->{events_before}{ $json->encode($_) } } $cluster->events;
	push @bad, Invariants::explained(\@events, $moved);
	$r->{events} = [ map { $_->{event} } @events ];
	my ($rc, $status) = $cluster->regent(5, 'status');
	$observer->look_at_files($status, $json->encode(\@events));
	my %seen;
	push @bad, grep { !$seen{$_}++ } @{ $observer->{found} };
	return @bad;
}

# What a round leaves: rows, prepared transactions, long logs.
sub sweep
{
	my ($leader) = @_;
	for my $gid (grep { /^chaos-\d+$/ } split /\n/, $cluster->sql($leader, 'SELECT gid FROM pg_prepared_xacts') // '')
	{
		$cluster->sql($leader, "ROLLBACK PREPARED '$gid'");
	}
	$cluster->sql($leader, 'TRUNCATE chaos_rows');
	unlink glob $cluster->host('c')->dir . '/*.txt';
	for my $log (map { glob $_->dir . '/*.log' } $cluster->hosts)
	{
		truncate($log, 0) if -s $log > 16 * 1024 * 1024;
	}
}

sub one_round
{
	my ($nemesis, $rng, $r) = @_;
	my @bad;
	$orders->begin;
	tick_free_wait(sub { $peace->not_whole eq '' }, $o{converge}) or return 'not whole before the round: ' . $peace->not_whole;
	sweep(patient_status()->{leader});
	my $before = facts();
	@{$r}{qw(leader_before term_before start_before)} = @{$before}{qw(leader term start)};
	$r->{events_before} = { map { $json->encode($_) => 1 } $cluster->events };
	$faults->begin($before->{leader}, $rng);
	$load->begin(@Cluster::first, $nemesis->{grows} ? $Cluster::spare : ());
	$observer->begin;
	defined tick_while_not(sub { 50 < grep { $_->{source} eq 'load' } @{ $load->{acks} } }, 60) or return 'the load does not get going';
	tick_until(Util::now() + 0.5);

	push @bad, run_plan($nemesis, $r);
	$faults->peace($rng);
	push @bad, $peace->converge($r);
	tick_until(Util::now() + 1);
	$load->end;

	my $after = facts();
	@{$r}{qw(leader_after term_after start_after)} = @{$after}{qw(leader term start)};
	Invariants::counts($load, $r);
	$r->{acts} = [ map { sprintf '%.3f %s: %s', $_->[0] - $faults->{first_at}, $_->[1], $_->[2] } @{ $faults->{acts} } ];
	push @bad, judge($nemesis, $r);
	push @bad, "the leader did not change" if $nemesis->{failover} eq 'must' && $r->{term_after} <= $r->{term_before};
	push @bad, $peace->restore($rng) unless @bad;
	push @bad, @{ $observer->{found} } unless @bad;
	$r->{orders} = $orders->record($faults->{first_at});
	return @bad;
}

sub tick_free_wait { my ($code, $bound) = @_; return eval { wait_until($code, $bound, 'a whole cluster'); 1 } }

# ---- results ----

sub keep_evidence
{
	my ($r) = @_;
	my $to = "$results/failed-$r->{durability}-seed$r->{seed}-round$r->{round}";
	remove_tree($to);
	make_path($to);
	for my $h ($cluster->hosts)
	{
		my $name = $h->name;
		for my $file (glob($h->dir . '/*.log'), glob($h->dir . '/*.txt'))
		{
			run_command([ 'cp', $file, "$to/$name-" . (split m{/}, $file)[-1] ]);
		}
		run_command([ 'cp', $cluster->data($name) . '/regent.state', "$to/$name-regent.state" ]) if $name =~ /^n/;
	}
	run_command([ 'cp', '-r', $cluster->host('w')->dir . '/state', "$to/w-state" ]);
	spew("$to/status.json", JSON::PP->new->canonical->pretty->encode($cluster->status || {}));
	spew("$to/events.json", JSON::PP->new->canonical->pretty->encode([ $cluster->events ]));
	spew("$to/round.json", JSON::PP->new->canonical->pretty->encode($r));
	run_command([ 'chmod', '-R', 'a+rX', $to ]);
	Util::note("  evidence: $to");
}

sub report
{
	my ($r) = @_;
	Util::note(sprintf '%s %d %s: %s, %s%s -> %s, outage %s ms, whole after %s ms, acked %s, lost %s%s', $r->{durability}, $r->{round}, $r->{nemesis},
		$r->{ok} ? 'ok' : 'FAILED', $r->{leader_before} // '?', $r->{term_before} // '?', ($r->{leader_after} // '?') . ($r->{term_after} // '?'), $r->{outage_ms} // '?',
		$r->{converge_ms} // '?', $r->{acked} // '?', $r->{lost} // '?', $r->{lost} && $r->{ok} ? ' (async, measured)' : '');
	my $n = 0;
	for (@{ $r->{violations} })
	{
		Util::note("  $_") if ++$n <= 12;
	}
	Util::note('  and ' . ($n - 12) . ' more') if $n > 12;
}

sub summary
{
	my (@r) = @_;
	my %class;
	push @{ $class{ $_->{class} } }, $_ for @r;
	printf "%-18s %6s %6s | %9s %9s | %9s %9s | %9s %8s\n", 'class', 'rounds', 'moved', 'outage', 'worst', 'resumed', 'worst', 'whole', 'lost';
	for my $name (sort keys %class)
	{
		my @of = @{ $class{$name} };
		my ($outage, $resume, $whole) = map { my $k = $_; [ sort { $a <=> $b } map { $_->{$k} // () } @of ] } qw(outage_ms resume_ms converge_ms);
		printf "%-18s %6d %6d | %9s %9s | %9s %9s | %9s %8d\n", $name, scalar @of, scalar(grep { $_->{moved} } @of),
			(map { defined $_ ? int($_) : '-' } (map { (Util::median(@$_), @$_ ? $_->[-1] : undef) } $outage, $resume), Util::median(@$whole)), sum(map { $_->{lost} // 0 } @of);
	}
	print "outage: longest time without service; resumed: from the fault to the first write on another node; whole: from peace to all well; ms, medians\n";
	my @moved = grep { $_->{moved} && !$_->{halts} } @r;
	my $failed = grep { !$_->{ok} } @r;
	my $lost = sum(map { $_->{lost_wrongly} // 0 } @r);
	my %sum = map { my $k = $_; $k => sum(map { $_->{$k} // 0 } @r) } qw(split_acks late_acks window_acks delayed_acks lost);
	print "lost in async by failovers, as measured: $sum{lost}; acknowledged in the window of a freeze: $sum{window_acks}; delayed on the way: $sum{delayed_acks}\n";
	printf "chaos: %s rounds=%d lost=%d split_acks=%d late_acks=%d median_outage_ms=%s%s\n", $failed ? 'FAILED' : 'ok', scalar @r, $lost, $sum{split_acks},
		$sum{late_acks}, int(Util::median(map { $_->{outage_ms} // () } @moved) // 0), $failed ? " failed=$failed" : '';
	return $failed ? 1 : 0;
}

sub sum { my $s = 0; $s += $_ for @_; return $s }

# ---- all rounds ----

sub plan_of_rounds
{
	my @only = split /,/, $o{only} // '';
	return map { { round => $_ + 1, durability => $Nemesis::fixed[$_][0], name => $Nemesis::fixed[$_][1] } } 0 .. $#Nemesis::fixed if $o{fixed};
	return map { { round => $_, durability => $o{durability}, @only ? (name => $only[ ($_ - 1) % @only ]) : () } } 1 .. ($o{rounds} > @only || !@only ? $o{rounds} : scalar @only);
}

sub nemesis_of
{
	my ($plan) = @_;
	return Nemesis::choose($o{seed}, $plan->{round}, $lease, $plan->{durability}) unless $plan->{name};
	my $rng = Rng->new("chaos/$o{seed}/$plan->{round}");
	my @all = map { Nemesis::make($_, $rng, $lease, $plan->{durability}) } split /\+/, $plan->{name};
	return @all == 2 ? Nemesis::combine(@all, $lease, $rng->between(0, 2)) : $all[0];
}

my $file = $o{fixed} ? "$results/fixed.jsonl" : "$results/$o{durability}-$o{lease}-seed$o{seed}" . ($o{only} ? '-only' : '') . '.jsonl';
my @done = $o{resume} ? map { $json->decode($_) } grep { /\}$/ } split /\n/, slurp($file) // '' : ();
spew($file, join '', map { $json->encode($_) . "\n" } @done);
my %is_done = map { $_->{round} => 1 } @done;
my $has;

for my $plan (plan_of_rounds())
{
	next if $is_done{ $plan->{round} };
	my $nemesis = nemesis_of($plan);
	my $rng = Rng->new("chaos/$o{seed}/$plan->{round}/cluster");
	my %r = (round => $plan->{round}, seed => $o{seed}, durability => $plan->{durability}, nemesis => $nemesis->{name}, class => $nemesis->{class}, halts => $nemesis->{halts} ? 1 : 0,
		lease_ms => int($lease * 1000), plan => $nemesis->{acts});
	my @bad;
	if (($has // '') ne $plan->{durability})
	{
		eval { new_cluster($plan->{durability}, $rng); 1 } or push @bad, "no cluster: $@" . ($cluster ? $cluster->log_tail : '');
		$has = $plan->{durability};
	}
	if (!@bad)
	{
		my @found = eval { one_round($nemesis, $rng, \%r) };
		@bad = $@ ? "died: $@" : @found;
	}
	delete $r{events_before};
	$r{violations} = \@bad;
	$r{ok} = @bad ? 0 : 1;
	$r{moved} = defined $r{leader_after} && defined $r{leader_before} && $r{leader_after} ne $r{leader_before} ? 1 : 0;
	$r{lost_wrongly} = scalar grep { /^I1/ } @bad;
	report(\%r);
	if (@bad)
	{
		eval { keep_evidence(\%r) };
		# the next round begins with a cluster that nothing is wrong with
		eval { $load->end } if $load;
		$has = undef;
	}
	push @done, \%r;
	open(my $fh, '>>', $file) or die "$file: $!";
	print $fh $json->encode(\%r), "\n";
	close $fh;
}
my $rc = summary(sort { $a->{round} <=> $b->{round} } @done);
$cluster->down if $cluster;
exit $rc;
